"""Fetch the libraries of the page again, as their list says: `make vendor`; for its tests `--tests FOLDER`.

Each package is downloaded from the npm registry and compared with its integrity; of it, the listed files are kept, with
their SHA-256 digests in the list.
"""

import argparse
import base64
import hashlib
import io
import json
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "service" / "page" / "vendor"
LIST = FOLDER / "packages.json"
REGISTRY = "https://registry.npmjs.org"


def download(package: dict[str, Any]) -> tarfile.TarFile:
    """The package's archive, if it is the one that the list was made with."""
    name, version = package["name"], package["version"]
    with urllib.request.urlopen(f"{REGISTRY}/{name}/-/{name}-{version}.tgz") as response:
        data = response.read()
    found = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != package["integrity"]:
        sys.exit(f"vendor: {name} {version} has the integrity {found}, not {package['integrity']}")
    return tarfile.open(fileobj=io.BytesIO(data))


def fetch(package: dict[str, Any], folder: Path) -> None:
    """Write the listed files of a package to its folder, and their digests to the list."""
    target = folder / package.get("folder", f"{package['name']}-{package['version']}")
    target.mkdir(parents=True, exist_ok=True)
    with download(package) as archive:
        for name, file in package["files"].items():
            member = archive.extractfile(f"package/{file['from']}")
            assert member is not None
            content = member.read()
            file["sha256"] = hashlib.sha256(content).hexdigest()
            (target / name).write_bytes(content)


def main() -> None:
    """Fetch the packages of the page, or those of its tests."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tests", type=Path, metavar="FOLDER", help="fetch what only the tests need, to this folder")
    options = parser.parse_args()
    listed = json.loads(LIST.read_text("utf-8"))
    for package in listed["tests" if options.tests else "page"]:
        fetch(package, options.tests or FOLDER)
        print(f"{package['name']} {package['version']}, {package['license']}")
    LIST.write_text(json.dumps(listed, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
