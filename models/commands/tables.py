"""Tables that several commands print."""

from typing import Any

from lightmeter.terminal import console
from lightmeter.text.numbers import counted


def metrics_tables(metrics: dict[str, Any], split: str) -> list[Any]:
    """Return a table per target of one split, with the model and the best baseline, and a warning of few groups.

    The report of the run has all baselines.
    """
    from lightmeter.bootstrap import few_groups_warning
    from lightmeter.models.evaluation.baselines import best_baseline
    from lightmeter.models.evaluation.report import metric_rows

    warning = few_groups_warning(metrics[split]["groups"])
    tables = [
        console.table(
            f"{name}, {split}: {counted(target['photographs'], 'photograph')} in {counted(target['groups'], 'group')}",
            ("metric", "this model", *(f"best baseline: {baseline}" for baseline in shown["baselines"])),
            metric_rows(shown),
        )
        for name, target in metrics[split]["targets"].items()
        for best in [best_baseline(target["baselines"])]
        for shown in [target | {"baselines": {best: target["baselines"][best]} if best else {}}]
    ]
    return [*tables, warning] if warning else tables


def prediction_tables(predictions: list[dict[str, Any]]) -> list[Any]:
    """Return a table with a row per file and target, and the input warnings."""
    warnings = [
        f"{entry['file']}: {warning['reason']}" for entry in predictions for warning in entry.get("warnings", ())
    ]
    header = ("photograph", "target", "prediction", "probability", "value", "stops")
    return [console.table("", header, [row for entry in predictions for row in _rows(entry)]), *warnings]


def _rows(entry: dict[str, Any]) -> list[tuple[object, ...]]:
    """Return the rows of one file; a multilabel target shows the classes with a probability of at least 0.5."""
    if "error" in entry:
        return [(entry["file"], "–", entry["error"]["reason"], None, None, None)]
    rows: list[tuple[object, ...]] = []
    for target, prediction in entry["predictions"].items():
        classes = prediction.get("classes", [prediction.get("class")])
        probabilities = [prediction["probabilities"][name] for name in classes]
        probability = (
            probabilities[0] if "class" in prediction else ", ".join(f"{value:.2f}" for value in probabilities)
        )
        numbers = (prediction.get("number"), prediction.get("stops"))
        rows.append((entry["file"], target, ", ".join(classes) or "none", probability, *numbers))
    return rows
