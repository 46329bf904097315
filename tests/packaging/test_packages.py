"""A wheel and `pip install -e .` give the same packages, whole, and nothing that is called plainly `compiler`."""

import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "norse": "norse",
    "compiler": "norse/compiler",
    "backends": "norse/backends",
}  # where they are: where they install


def source_files() -> Iterator[str]:
    """Every file of the packages, by the path it should install to."""
    for folder, installed in PACKAGES.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{installed}/{path.relative_to(ROOT / folder).as_posix()}"


@dataclass(frozen=True)
class Installed:
    """An environment with this project in it; `home` is the folder that its code should come from."""

    environment: Path
    home: Path

    @property
    def site_packages(self) -> Path:
        return Path(sysconfig.get_path("purelib", "venv", {"base": str(self.environment)}))

    def python(self, code: str) -> str:
        return run(self.environment / "bin" / "python", "-c", code, cwd=self.environment)


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A fresh environment that borrows torch and setuptools from this one, but not its norse: nothing is downloaded."""
    tmp = tmp_path_factory.mktemp(request.param)
    source = tmp / "source"  # a copy, because building writes into the source tree
    for folder in PACKAGES:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)

    environment = tmp / "environment"
    venv.create(environment)
    editable = request.param == "editable"
    result = Installed(environment, home=source if editable else environment)
    # A folder named in a .pth file is searched, but its own .pth files, such as an editable norse's, are not read.
    (result.site_packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    pip = (sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "--disable-pip-version-check")
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed")
    run(*pip, "install", *offline, *(["--editable"] if editable else []), source, cwd=tmp)
    return result


def test_the_packages_import_by_their_names(installed: Installed) -> None:
    for name in ("norse", "norse.torch", "norse.compiler", "norse.backends", "norse.backends.cpu"):
        file = Path(installed.python(f"import {name}; print({name}.__file__)"))
        assert file.is_relative_to(installed.home), f"{name} comes from {file}"


def test_no_package_takes_a_plain_name(installed: Installed) -> None:
    found = installed.python("import importlib.util as u; print([u.find_spec(n) for n in ('compiler', 'backends')])")
    assert found == "[None, None]"
    assert not {"compiler", "backends"} & {path.name for path in installed.site_packages.iterdir()}


def test_every_file_is_installed(installed: Installed) -> None:
    """Modules, and what stands beside them: py.typed, the C++ and CUDA runtime."""
    found = installed.python(
        "import norse, norse.compiler, norse.backends\n"
        "from pathlib import Path\n"
        "for package in (norse, norse.compiler, norse.backends):\n"
        "    home = Path(package.__file__).parent\n"
        "    for path in home.rglob('*'):\n"
        "        print(package.__name__.replace('.', '/'), path.relative_to(home).as_posix(), sep='/')\n"
    )
    assert set(source_files()) <= set(found.split())


def test_the_command_is_installed(installed: Installed) -> None:
    assert "demo" in run(installed.environment / "bin" / "norse", "--help", cwd=installed.environment)


def test_every_package_is_listed() -> None:
    """setuptools installs what pyproject.toml lists: a new folder must be named there."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    on_disk = {Path(file).parent.as_posix().replace("/", ".") for file in source_files() if file.endswith(".py")}
    assert sorted(listed) == sorted(on_disk)
