"""The tests of the Google provider once more, with the older of the two SDKs that are supported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_older_google_sdk_passes_the_same_tests(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path), "google-genai>=2,<3"]
    installed = subprocess.run(pip, capture_output=True, text=True, timeout=120, check=False)
    if installed.returncode:
        pytest.skip(f"google-genai 2 cannot be installed: {installed.stderr.strip()[-200:]}")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    version = subprocess.run(
        [sys.executable, "-c", "import google.genai; print(google.genai.__version__)"],
        capture_output=True, text=True, env=environment, timeout=60, check=False,
    )  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "tests/core/providers/test_google.py"],
        capture_output=True, text=True, env=environment, cwd=Path(__file__).resolve().parents[3], timeout=180, check=False,
    )  # fmt: skip

    assert version.stdout.startswith("2."), version.stderr
    assert ran.returncode == 0, ran.stdout[-3000:]
