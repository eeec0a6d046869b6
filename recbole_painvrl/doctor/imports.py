"""Whether PyTorch, RecBole and the plugin can be imported, tried in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from recbole_painvrl.doctor.findings import Finding

# A library that crashes on this processor takes only the probe with it.
_PROBE = """
import json
def say(**values): print(json.dumps(values), flush=True)
import torch
gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
say(torch=torch.__version__, gpus=gpus, threads=torch.get_num_threads())
import recbole
say(recbole=recbole.__version__)
import recbole_painvrl
from recbole_painvrl.config.lookup import model_names
from recbole_painvrl.specs import specs
say(models=len(model_names()), plugin=list(specs()))
"""
_STEPS = ("torch", "recbole", "models")
_NAMES = {"torch": "PyTorch", "recbole": "RecBole", "models": "the plugin"}
_SECONDS = 180


def check_imports(probe: str = _PROBE) -> list[Finding]:
    """Import everything heavy elsewhere and report how far it came."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True,
            timeout=_SECONDS, env=_environment(),
        )  # fmt: skip
        out, err, code = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as error:
        out, err, code = _text(error.stdout), f"no answer in {_SECONDS} s", 1
    said: dict[str, Any] = {}
    for line in out.splitlines():
        if line.startswith("{"):
            said.update(json.loads(line))
    found: list[Finding] = []
    for step in _STEPS:
        if step not in said:
            reason = _reason(err, code)
            advice = f"mend what is marked FAIL above; if nothing is, install {_NAMES[step]} again"
            text = f"{_NAMES[step]} cannot be imported: {reason}"
            return [*found, Finding("FAIL", text, advice)]
        found.append(_good(step, said))
    return [*found, *_gpu(said)]


def _good(step: str, said: dict[str, Any]) -> Finding:
    if step == "torch":
        return Finding("ok", f"PyTorch {said['torch']} imports; threads: {said['threads']}")
    if step == "recbole":
        return Finding("ok", f"RecBole {said['recbole']} imports")
    own = ", ".join(said["plugin"])
    return Finding("ok", f"{said['models']} models can be run, of which the plugin's: {own}")


def _gpu(said: dict[str, Any]) -> list[Finding]:
    if said["gpus"]:
        return [Finding("ok", f"GPU: {', '.join(said['gpus'])}")]
    if shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
        text = "there is an NVIDIA GPU, but PyTorch does not see it"
        return [Finding("note", text, "install the CUDA build of PyTorch, or its driver")]
    return [Finding("ok", "no GPU: runs use the CPU")]


def _environment() -> dict[str, str]:
    """The probe finds the package wherever the command was started."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _reason(err: str, code: int) -> str:
    if code < 0:
        return f"the process was ended by signal {-code}"
    lines = [line for line in err.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit code {code}"


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
