"""Where tasks of lm-evaluation-harness run: templates cannot reach Python, nothing is logged, no copy of a row stays."""

import logging
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import lm_eval.utils
import numpy as np
from jinja2.sandbox import SandboxedEnvironment

from unteach.lm.load import quiet

CACHES = ("HF_DATASETS_CACHE", "DOWNLOADED_DATASETS_PATH", "EXTRACTED_DATASETS_PATH")
LOGGERS = ("lm_eval", "datasets")
ONE_PROCESS = "DISABLE_MULTIPROC"  # resampling would fork a process that holds a model
SEED, NUMPY_SEED = 0, 1234  # those of lm-evaluation-harness


@contextmanager
def sandbox() -> Iterator[None]:
    """What `datasets` copies goes into a folder that is deleted, and a task's templates see its own row alone."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="unteach-")))
        for name in CACHES:
            _put(stack, datasets.config, name, folder / name.lower())
        _put(stack, lm_eval.utils, "env", _environment())
        stack.callback(os.environ.update, {k: v for k, v in os.environ.items() if k == ONE_PROCESS})
        stack.callback(os.environ.pop, ONE_PROCESS, None)
        os.environ[ONE_PROCESS] = "1"
        yield


@contextmanager
def hushed() -> Iterator[None]:
    """No output, since warnings repeat rows; and chance as the harness has it, whatever was drawn before."""
    with ExitStack() as stack:
        nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
        stack.enter_context(redirect_stdout(nowhere))
        stack.enter_context(redirect_stderr(nowhere))
        stack.enter_context(quiet())
        for name in LOGGERS:
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL + 1)
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state())
        random.seed(SEED)
        np.random.seed(NUMPY_SEED)
        yield


def _environment() -> SandboxedEnvironment:
    usual = lm_eval.utils.env
    made = SandboxedEnvironment(
        loader=usual.loader, undefined=usual.undefined, keep_trailing_newline=usual.keep_trailing_newline
    )
    made.filters.update(usual.filters)
    return made


def _put(stack: ExitStack, owner: Any, name: str, value: Any) -> None:
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)
