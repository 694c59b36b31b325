"""Memory that stays with the process."""

import platform
import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor

import torch

from modeling_elmo.pretraining.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def step():
    torch.zeros(2**25)  # 128 MB

def faults():
    for _ in range(4):  # until there is a place that fits
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with ThreadPoolExecutor(1) as pool:
    print(faults(), pool.submit(faults).result())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
@pytest.mark.parametrize("choice", ["keep", "default"])
def test_freed_memory_is_taken_again_without_page_faults(choice):
    done = subprocess.run([sys.executable, "-c", COUNT_FAULTS, choice], capture_output=True, text=True, check=True)
    for count in map(int, done.stdout.split()):
        assert count < 100 if choice == "keep" else count > 100  # 32,768 pages of 4 KB, or 64 of 2 MB
