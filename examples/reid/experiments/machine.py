"""What numbers were made on, in words."""

import platform
from datetime import date
from pathlib import Path

import torch

import drsl_cuda


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def described():
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor()
    return {
        "machine": f"{device}, {torch.get_num_threads()} threads",
        "versions": f"drsl_cuda {drsl_cuda.__version__}, torch {torch.__version__}",
        "date": date.today().isoformat(),
    }
