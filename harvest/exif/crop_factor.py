"""Crop factors of camera bodies whose sensor size is certain."""

import re
from functools import lru_cache


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_CANON_APS_C = _any_of(
    r"Canon EOS (?:[1-9]0Da?|7D(?: Mark II)?|77D|\d{3,4}D(?: .{0,30})?|D30|D60|M\d{0,3}(?: Mark II)?)",
    r"Canon EOS (?:DIGITAL REBEL(?: XTi?)?|Kiss Digital(?: [NX])?|Kiss (?:X\d\w{0,3}|F|M2?))",
    r"Canon EOS REBEL (?:XSi?|T\d+i|T[3567]|T6s|T100|SL\d)",
    r"Canon EOS R(?:7|10|50|50 V|100)",
)
_CANON_APS_H = _any_of(r"Canon EOS-1D(?: Mark (?:II|II N|III|IV))?")
_CANON_FULL_FRAME = _any_of(
    r"Canon EOS (?:5D|5DS|5DS R|6D)(?: Mark (?:II|III|IV))?",
    r"Canon EOS-1D(?:s.{0,30}| C| ?X.{0,30})",
)
_OLYMPUS = _any_of(r"E-(?:[135]|30|[346]00|330|4[1257]0|5[012]0|6[02]0|M\d+.{0,20}|P\d|PL\d+|PM\d|P7)")
_OM_SYSTEM = _any_of(r"OM-(?:[135]|3)(?: ?Mark ?II)?")
_PANASONIC = _any_of(r"DMC-(?:G[FHMX]?\d+\w{0,8}|L10?)", r"DC-G[FHX]?\d+\w{0,8}")
_FUJIFILM = _any_of(r"X-(?:A\d+|E\d+S?|H\d+S?|M\d+|Pro\d+|S[1-9]\d|T\d+\w{0,4})", r"X100\w{0,4}")  # not the X-S1

_BODIES: tuple[tuple[float, str, re.Pattern[str]], ...] = (
    (1.6, "canon", _CANON_APS_C),  # 22.3 mm × 14.9 mm
    (1.3, "canon", _CANON_APS_H),  # 28.7 mm × 19.1 mm
    (1.0, "canon", _CANON_FULL_FRAME),
    (2.0, "olympus", _OLYMPUS),  # 17.3 mm × 13.0 mm; not the E-10, E-20 and E-100RS
    (2.0, "om digital", _OM_SYSTEM),  # not Olympus's OM-1, a film camera
    (2.0, "panasonic", _PANASONIC),
    (1.5, "fujifilm", _FUJIFILM),  # 23.5 mm × 15.6 mm
)
_MADE_ONCE = frozenset({"om digital"})  # models whose name another maker used as well


@lru_cache(maxsize=1024)
def crop_factor(make: str, model: str) -> float | None:
    """Return the crop factor of a camera: the diagonal of 36 mm × 24 mm over that of its sensor.

    Only bodies with one sensor size are listed; they often write no 35-mm equivalent. Sensor sizes of compact cameras
    and phones differ between models, and bodies with a crop mode write the equivalent themselves.

    Args:
        make: The EXIF tag Make; empty if there is none.
        model: The EXIF tag Model.

    Returns:
        The factor, or None if it is not certain.
    """
    for factor, maker, models in _BODIES:
        made = make.lower().startswith(maker) or (not make and maker not in _MADE_ONCE)
        if made and models.fullmatch(model):
            return factor
    return None
