"""Energy from the RAPL counters of Linux."""

from pathlib import Path

from lightmeter.models.training.resource_usage import RaplMeter


def package(counters: Path, number: int, microjoules: int) -> Path:
    folder = counters / f"intel-rapl:{number}"
    folder.mkdir(exist_ok=True)
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text("1000000\n")
    return folder


def test_rapl_meter_sums_packages_without_their_parts(tmp_path: Path) -> None:
    package(tmp_path, 0, 100)
    package(tmp_path, 1, 500)
    (tmp_path / "intel-rapl:0:0").mkdir()
    (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("7")
    meter = RaplMeter(tmp_path)
    package(tmp_path, 0, 2_100)
    package(tmp_path, 1, 3_500)
    assert meter.joules == 0.005


def test_rapl_meter_handles_counter_wrap(tmp_path: Path) -> None:
    package(tmp_path, 0, 999_000)
    meter = RaplMeter(tmp_path)
    package(tmp_path, 0, 1_000)
    assert meter.joules == 0.002


def test_rapl_meter_returns_none_without_counters(tmp_path: Path) -> None:
    assert RaplMeter(tmp_path).joules is None
    (package(tmp_path, 0, 1) / "energy_uj").unlink()
    assert RaplMeter(tmp_path).joules is None
