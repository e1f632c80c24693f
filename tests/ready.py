"""What must be so before torch and unteach are imported: one thread, no network, checked shapes."""

import os
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}

import jaxtyping
import torch

import shapes

torch.set_num_threads(1)
jaxtyping.jaxtyped = shapes.where_shaped
jaxtyping.install_import_hook("unteach", "shapes.checked")

SHARED = Path(os.environ.get("UNTEACH_SHARED", Path(__file__).parents[2] / "shared"))
