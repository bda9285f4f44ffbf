"""The kernel's powercap files, in a folder of a test."""

from pathlib import Path


def zone(powercap: Path, entry: str, name: str, energy_uj: int, range_uj: int = 1_000_000) -> Path:
    """A zone with its files; the path of its counter."""
    folder = powercap / entry
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return folder / "energy_uj"
