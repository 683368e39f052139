"Everything about the distribution is in settings.ini; this file hands it to setuptools."
import shlex
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
cfg = ConfigParser(delimiters=["="])
cfg.read(here/"settings.ini", encoding="utf-8")
cfg = cfg["DEFAULT"]
lib = cfg["lib_path"]

def requirements(name=""):
    return shlex.split(cfg.get(f"{name}requirements", ""))

extras = {extra: requirements(f"{extra}_") for extra in ("store", "api", "scale", "compiled", "onnx", "study", "lab", "docs", "dev")}
extras["api"] += extras["store"]  # the service keeps what users say
for everything in ("docs", "dev"): extras[everything] += extras["api"] + extras["scale"] + extras["compiled"]  # every chapter is imported
extras["dev"] += extras["onnx"]

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(here/"README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    license="Apache-2.0",
    license_files=["LICENSE"],
    url=cfg["git_url"],
    keywords=cfg["keywords"].split(),
    python_requires=f">={cfg['min_python']}",
    # data/ stands at the top of the repository and is the package smart_money.data once installed
    packages=[*find_packages(include=[lib, f"{lib}.*"]), f"{lib}.data"],
    package_dir={f"{lib}.data": "data"},
    package_data={f"{lib}.data": ["*.csv", "*.json", "*.toml", "**/*.csv", "**/*.json", "**/*.toml", "**/*.md", "migrations/**/*.py", "page/*"]},
    install_requires=requirements(),
    extras_require=extras,
    entry_points={"console_scripts": shlex.split(cfg["console_scripts"]), "nbdev": [f"{lib}={lib}._modidx:d"]},
    zip_safe=False,
)
