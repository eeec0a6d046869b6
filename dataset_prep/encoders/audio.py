"""Features of WAV files: log-mel statistics, or an encoder named by the user."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_prep.encoders.common import Encoded, encoder_notes
from dataset_prep.read.files import BROKEN, bar
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import reason

Samples = npt.NDArray[np.float32]
AudioEncoder = Callable[[Samples, int], Any]

RATE = 16_000
AUDIO_ADVICE = "; convert other formats, as in `ffmpeg -i 7.mp3 -ar 16000 -ac 1 7.wav`"
_WINDOW, _HOP, _SIZE = 400, 160, 512
_BANDS, _LOW, _HIGH = 64, 125.0, 7_500.0
_FLOOR = 1e-2
_FRAMES_PER_BLOCK = 4096
_HIGHEST_RATE = 768_000


def encode_sounds(
    paths: Sequence[Path], encoder: str, report: Report, where: str, seconds: float = 60.0
) -> Encoded:
    """Rows [n, d] of the first ``seconds`` of each file, mono at 16 kHz.

    ``logmel`` gives mean and deviation over time of 64 log-mel bands and of their changes (256
    columns). ``module:function`` is imported and called as ``function(samples [t], rate)`` for a
    vector [d] or frames [f, d], which are averaged, for encoders such as VGGish.
    """
    function = log_mel_statistics if encoder == "logmel" else load_function(encoder)
    rows: list[npt.NDArray[np.float32]] = []
    absent = np.zeros(len(paths), dtype=np.bool_)
    broken: list[str] = []
    with bar(len(paths), "sounds", "file") as progress:
        for index, path in enumerate(paths):
            progress.update(1)
            samples = read_sound(path, seconds)
            if samples is None:
                broken.append(path.name)
            absent[index] = samples is None or not samples.any()
            if not absent[index]:
                rows.append(_vector(function, encoder, samples, path, rows))
    if broken:
        what = f"{len(broken)} files are not WAV files, first {broken[0]}"
        report.found(where, what, len(broken), "drop-rows")
    if not rows:
        raise UserError(f"{where}: no file has sound; check the format")
    matrix = np.zeros((len(paths), len(rows[0])), dtype=np.float32)
    matrix[~absent] = np.stack(rows)
    layer = "mean and deviation of bands and changes" if encoder == "logmel" else "as returned"
    notes = encoder_notes(layer, matrix.shape[1], "none", rate=RATE, seconds=seconds)
    name = f"log-mel statistics, {_BANDS} bands" if encoder == "logmel" else encoder
    return Encoded(matrix, absent, name, notes)


def _vector(
    function: AudioEncoder,
    encoder: str,
    samples: Samples | None,
    path: Path,
    rows: list[npt.NDArray[np.float32]],
) -> npt.NDArray[np.float32]:
    try:
        found = np.asarray(function(np.asarray(samples), RATE), dtype=np.float32)
    except Exception as error:
        raise UserError(f"--audio-encoder {encoder}: failed on {path} ({reason(error)})") from error
    vector = found.mean(axis=0) if found.ndim == 2 and len(found) else found
    if vector.ndim != 1 or not len(vector) or (rows and len(vector) != len(rows[0])):
        raise UserError(
            f"--audio-encoder {encoder}: gave shape {found.shape} for {path}; it must give [d] or "
            "[frames, d] with the same d for every file"
        )
    return vector


def read_sound(path: Path, seconds: float) -> Samples | None:
    """Samples [t] from -1 to 1 at 16 kHz, the mean of the channels; None if it is not WAV."""
    # Imported here, since importing SciPy's signal package takes a second.
    from scipy.io import wavfile
    from scipy.signal import resample_poly

    try:
        with warnings.catch_warnings():
            # Unknown chunks (titles, pictures) raise warnings only.
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            rate, data = wavfile.read(path)
    except (NameError, *BROKEN):
        return None
    if not 0 < rate <= _HIGHEST_RATE:
        # Resampling needs memory for twenty times the rate.
        return None
    data = data[: int(seconds * rate)]
    scale = {"u": 128.0, "i": float(2 ** (8 * data.dtype.itemsize - 1))}.get(data.dtype.kind, 1.0)
    samples = data.astype(np.float64) / scale - (1.0 if data.dtype.kind == "u" else 0.0)
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    if rate != RATE and len(samples):
        common = int(np.gcd(rate, RATE))
        samples = resample_poly(samples, RATE // common, rate // common)
    return np.asarray(samples, dtype=np.float32)


def log_mel_statistics(samples: Samples, rate: int) -> npt.NDArray[np.float32]:
    """Mean and deviation over time of log-mel bands and of their changes, ``[256]``."""
    if len(samples) < _WINDOW + _HOP:
        samples = np.pad(samples, (0, _WINDOW + _HOP - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    window, bank = np.hanning(_WINDOW), mel_bank(rate)
    bands = np.concatenate(
        [
            np.abs(np.fft.rfft(frames[start : start + _FRAMES_PER_BLOCK] * window, _SIZE)) @ bank.T
            for start in range(0, len(frames), _FRAMES_PER_BLOCK)
        ]
    )
    loudness = np.log(bands + _FLOOR)
    change = np.diff(loudness, axis=0)
    statistics = [loudness.mean(0), loudness.std(0), change.mean(0), change.std(0)]
    return np.asarray(np.concatenate(statistics), dtype=np.float32)


def mel_bank(rate: int) -> npt.NDArray[np.float64]:
    """Triangular filters [64, 257], equally spaced on the mel scale from 125 to 7,500 Hz."""
    edges = np.linspace(_mel(_LOW), _mel(_HIGH), _BANDS + 2)
    bins = _mel(np.linspace(0, rate / 2, _SIZE // 2 + 1))
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))


def _mel(hertz: Any) -> Any:
    return 1127.0 * np.log1p(np.asarray(hertz, dtype=np.float64) / 700.0)


def load_function(text: str) -> AudioEncoder:
    """The function named by ``module:function``; nothing else is imported by name."""
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise UserError(f"--audio-encoder {text}: give logmel or module:function")
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise UserError(f"--audio-encoder {text}: cannot be imported ({reason(error)})") from error
    if not callable(function):
        raise UserError(f"--audio-encoder {text}: is not a function")
    encoder: AudioEncoder = function
    return encoder
