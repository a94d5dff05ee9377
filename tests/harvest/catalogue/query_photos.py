"""Photographs with queries and what these select."""

from typing import Any

from sqlalchemy import Engine, insert

from lightmeter.harvest.catalogue.models import (
    Exif,
    HarvestRun,
    Image,
    Inspection,
    Label,
    SightingRecord,
    SightingState,
)

PHOTOS: dict[str, dict[str, Any]] = {
    "ann": {
        "file": {
            "iso": 100.0, "make": "Canon", "model": "EOS 5D", "exposure_time_s": 1 / 500, "f_number": 2.828,
            "focal_length_mm": 50.2, "taken_at": "2019-05-03T10:00:00",
        },
        "sighting": {"source": "folder", "licence": "CC-BY-4.0", "owner": "Ann"},
        "verdict": {"verdict": "keep", "reason": None, "measures": {"laplacian_variance": 5.5}},
        "labels": [
            ("medium", "film", "rule", "lightmeter"), ("medium", "film", "manual", "a"), ("medium", None, "manual", "a"),
            ("medium", "digital", "import", "b"), ("concept", "beach|sea", "rule", "lightmeter"),
        ],
    },
    "nikon": {
        "file": {"iso": 800.0, "make": "NIKON", "flash_fired": True, "taken_at": "1993", "f_number": 4.0},
        "sighting": {
            "source": "flickr", "licence": "CC-BY-SA-4.0", "owner": "Zoe\u0308  STRASSE", "concepts": ["Cafe\u0301"],
        },
        "verdict": {"verdict": "drop", "reason": "grey", "measures": {"laplacian_variance": 80, "label": "text"}},
        "labels": [
            ("medium", "digital", "manual", "a"), ("medium", "film", "manual", "Jose\u0301"),
            ("concept", "Cafe\u0301|street", "manual", "a"),
        ],
    },
    "film": {
        "api": {"iso": 400.0, "taken_at": "1993-08"},
        "sighting": {
            "source": "folder", "licence": "CC0-1.0", "medium": "film", "tags": ["Sunset", 'the "sea"', "Âme_100%"]
        },
    },
}  # fmt: skip
"""Photographs by name: EXIF of the file and of the API, sighting, and the result of two filters."""

QUERIES = {
    "iso <= 400": "ann film",
    "iso = 400": "film",
    "iso != 400": "ann nikon",
    "not iso < 400": "nikon film",
    "exposure_time_s <= 1/250": "ann",
    "not exposure_time_s <= 1/250": "nikon film",
    "exposure_time_s is missing": "nikon film",
    "exposure_time_s is known": "ann",
    "make = canon": "ann",
    "make ~ IKO": "nikon",
    "licence = CC-BY": "ann",
    "licence in (CC0, CC-BY)": "ann film",
    "source = flickr or medium = film": "nikon film",
    "source = folder and (owner = ann or owner is missing)": "ann film",
    "monochrome": "nikon",
    "not monochrome": "ann film",
    "monochrome = grey": "nikon",
    "monochrome = keep": "ann",
    "quality.laplacian_variance > 10": "nikon",
    "quality.nothing > 10": "",
    "flash_fired": "nikon",
    "flash_fired = no": "",
    "flash_fired:yes": "nikon",
    "taken_at = 2019-05": "ann",
    "taken_at < 2019": "nikon film",
    "taken_at = 1993": "nikon film",
    "taken_at = 1993-08": "film",
    "taken_at = 1993-08-05": "",
    "taken_at < 1993-09 or taken_at < 1993-08-05": "film",
    "taken_at <= 1993-08": "film",
    "taken_at > 1993-07": "ann film",
    "taken_at >= 1993-08-02": "ann",
    "licence = 'cc by'": "ann",
    "licence = 'Creative Commons Attribution-ShareAlike 4.0 International'": "nikon",
    "licence in ('CC BY 4.0', 'CC Zero')": "ann film",
    "taken_at >= 2019-05-03 and taken_at <= 2019": "ann",
    "tag = sunset": "film",
    "tag ~ sun": "film",
    "tag = sun": "",
    "tag = 'the \"sea\"'": "film",
    "tag = âme_100%": "film",
    "tag ~ me_1%": "",
    "owner = Émile or title = 50%": "",
    'width >= 640 and format = "jpeg"': "ann nikon film",
    "iso <= 400 and not monochrome and licence in (CC0, CC-BY)": "ann film",
    "iso:100-400": "ann film",
    "iso:400-100": "ann film",
    "iso:100,400": "ann film",
    "iso:500-": "nikon",
    "iso:..100": "ann",
    "iso:>400": "nikon",
    "iso:>=400 -make:nikon": "film",
    "f:2.8": "ann",
    "f:2.83": "ann",
    "f:2.9-4": "nikon",
    "f:f/2.8-f/4": "ann nikon",
    "f:2.8-4 iso:100-400": "ann",
    "shutter:1/500-1/60": "ann",
    "shutter:'1/60 s - 1/500 s'": "ann",
    "shutter:1/2-1/3": "",
    "mm:50mm": "ann",
    "camera:canon": "ann",
    "camera:'canon eos'": "ann",
    "camera = 'Canon EOS 5D'": "ann",
    "camera is missing": "film",
    "owner:an": "ann",
    "owner = ' zoë straße '": "nikon",
    "owner in (zoe, 'ZOË STRASSE')": "nikon",
    "photographer ~ straß": "nikon",
    "owner >= zoë": "nikon",
    "concept:café": "nikon",
    "concept ~ CAF\u00c9": "nikon",
    "label.concept:CAFÉ": "nikon",
    "author.medium = JOSÉ": "nikon",
    "licence:CC0,CC-BY": "ann film",
    "year:2015-2020": "ann",
    "year:1993": "nikon film",
    "date:1993-08": "film",
    "date:1993-08..2019-05-03": "ann film",
    "tag:sunset": "film",
    "tag:sun": "",
    "quality.laplacian_variance:5-6": "ann",
    "quality.laplacian_variance:-1..5.5": "ann",
    "monochrome:grey or film:yes medium:film": "nikon",
    "label.medium:film": "nikon",
    "label.medium = digital": "ann",
    "label.medium is missing": "film",
    "label.concept:sea": "ann",
    "conflict.medium": "nikon",
    "-conflict.medium:yes": "ann film",
    "author.medium:b": "ann",
    "conflict.medium -author.medium:c": "nikon",
    "author.medium is missing": "film",
    "share:1/1": "ann nikon film",
    "share:2/2+100": "ann nikon film",
    "share:1/2,2/2": "ann nikon film",
    "text:canon": "ann",
    "text:sea,nikon": "nikon film",
    "text:ANN iso:100": "ann",
    "aperture >= 2.8 and mm is known": "ann",
    "-monochrome": "ann film",
    "label.medium:film,digital -monochrome": "ann",
    "-monochrome iso <= 400 (f:2.8 or tag:sunset)": "ann film",
    "-(iso:100 or monochrome)": "film",
    "monochrome flash_fired": "nikon",
    "-iso > 400": "ann film",
    "NOT monochrome AND iso:100 OR make IN (nikon)": "ann nikon",
}
"""Queries with the names of the photographs that match."""


def insert_photos(engine: Engine) -> dict[int, str]:
    """Insert the photographs; return their names by image id."""
    names = {}
    with engine.begin() as connection:
        run = connection.scalar(insert(HarvestRun).values(source="x", query={}, options={}).returning(HarvestRun.id))
        for number, (name, photo) in enumerate(PHOTOS.items()):
            image = {"sha256": f"{number:064}", "format": "JPEG", "width": 640, "height": 480, "file_size": 1000}
            image_id = connection.scalar(insert(Image).values(image).returning(Image.id))
            assert image_id is not None
            names[image_id] = name
            sighting = {"run_id": run, "source_id": name, "state": SightingState.FETCHED, "image_id": image_id}
            query = insert(SightingRecord).values(**sighting, **photo["sighting"]).returning(SightingRecord.id)
            sighting_id = connection.scalar(query)
            connection.execute(insert(Exif).values(image_id=image_id, origin="file", **photo.get("file", {})))
            connection.execute(insert(Exif).values(sighting_id=sighting_id, origin="api", **photo.get("api", {})))
            for target, value, origin, author in photo.get("labels", ()):
                row = {"image_id": image_id, "target": target, "value": value, "origin": origin, "author": author}
                connection.execute(insert(Label).values(**row))
            for filter_name in ("monochrome", "quality") if "verdict" in photo else ():
                result = {"image_id": image_id, "filter": filter_name, "version": 1}
                connection.execute(insert(Inspection).values(**result, **photo["verdict"]))
    return names
