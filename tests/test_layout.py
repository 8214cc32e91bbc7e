"""Modules, functions and folders stay small enough to be read at once."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("gantools", "analysis", "trainers", "scripts", "examples")
MODULES = [path for folder in (*PACKAGES, "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
