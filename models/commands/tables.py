"""What commands print."""

from typing import Any

from lightmeter import console


def scored_tables(metrics: dict[str, Any], split: str) -> list[Any]:
    """Return a table of figures a target, of one split."""
    from lightmeter.models.evaluation.report import figure_rows

    scored = metrics[split]
    return [
        console.table(
            f"{name}, {split}: {target['photographs']} photographs in {target['groups']} groups",
            ("figure", "this model", *target["baselines"]),
            figure_rows(target),
        )
        for name, target in scored["targets"].items()
    ]


def shown_answers(answers: list[dict[str, Any]]) -> list[Any]:
    """Return what was answered about files, and below it what speaks against trusting an answer."""
    warned = [(answer["file"], warning["reason"]) for answer in answers for warning in answer.get("warnings", ())]
    return [_table(answers), *(f"{file}: {reason}" for file, reason in warned)]


def _table(answers: list[dict[str, Any]]) -> Any:
    """Return a row a target; of several classes at once, those more probable than not."""
    rows: list[tuple[object, ...]] = []
    for answer in answers:
        if "error" in answer:
            rows.append((answer["file"], "–", answer["error"]["reason"], None, None, None))
            continue
        for target, found in answer["predictions"].items():
            said = found.get("classes", [found.get("class")])
            shares = [found["probabilities"][name] for name in said]
            told = shares[0] if "class" in found else ", ".join(f"{share:.2f}" for share in shares)
            numbers = (found.get("number"), found.get("stops"))
            rows.append((answer["file"], target, ", ".join(said) or "none", told, *numbers))
    return console.table("", ("photograph", "target", "answer", "probability", "number", "stops"), rows)
