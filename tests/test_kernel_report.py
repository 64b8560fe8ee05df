"""The report on kernels: what it reads from the machine code's listings, and what it refuses."""

import shutil
import subprocess
import sys

import pytest

from gpu_kit import ROOT, kernel_report

USAGE = """
arch = sm_90
 Function _ZN4drsl4cuda4turnEv:
  REG:72 STACK:{stack} SHARED:3072 LOCAL:0 CONSTANT[0]:440 TEXTURE:0 SURFACE:0 SAMPLER:0
"""
ELF = """
arch = sm_90
.nv.info._ZN4drsl4cuda4turnEv
	Attribute:	EIATTR_MAX_THREADS
	Format:	EIFMT_SVAL
	Value:	0x100 0x1 0x1
"""
SASS = """
arch = sm_90
		Function : _ZN4drsl4cuda4turnEv
        /*0000*/                   LDG.E.128 R4, desc[UR6][R2.64] ;      /* 0x00000a00ff017624 */
        /*0010*/              @!P0 FADD.SAT R1, R2, R3 ;                 /* 0x00000a00ff017624 */
        /*0020*/                   LDGSTS.E.BYPASS.128 [R1], desc[UR6][R2.64] ;
        /*0030*/                   STL [R1], R2 ;
"""


def test_resources_and_opcodes_are_read():
    (kernel,) = kernel_report.resources(USAGE.format(stack=0))
    assert (kernel.registers, kernel.shared, kernel.stack) == (72, 2048, 0)
    assert list(kernel.faults()) == ["has no __launch_bounds__"]
    bounds = kernel_report.launch_bounds(ELF)
    kernel = kernel._replace(threads=bounds["90", kernel.symbol])
    assert kernel.blocks() == 3 and not list(kernel.faults())
    counts = kernel_report.opcodes(SASS)["90", kernel.symbol]
    wanted = {"LDG.128": 1, "FADD.SAT": 1, "LDGSTS": 1, "local": 1, "all": 4, "HMMA": 0, "LDS": 0}
    assert {name: counts[name] for name in wanted} == wanted
    assert "stack" in next(kernel._replace(opcodes=counts).faults())
    (spilling,) = kernel_report.resources(USAGE.format(stack=16))
    assert "16 bytes of stack" in next(spilling.faults())


KERNELS = """
__global__ void __launch_bounds__(64, 1) good(float4* x) { x[threadIdx.x].x += 1; }
__global__ void __launch_bounds__(64, 1) bad(float* x, int n) {
  float a[512];
  for (int i = 0; i < 512; ++i) a[i] = x[i * n];
  for (int i = 0; i < n; ++i) a[(i * n) & 511] += a[(n + i) & 511];
  x[0] = a[n & 511];
}
"""


@pytest.mark.skipif(not shutil.which("nvcc"), reason="no nvcc")
def test_a_stack_fails_the_report(tmp_path):
    (tmp_path / "some.cu").write_text(KERNELS)
    compile = ["nvcc", "-arch=sm_90", "-c", "some.cu"]
    if subprocess.run(compile, cwd=tmp_path, check=False).returncode != 0:
        pytest.skip("nvcc does not work here")

    def reported(match):
        command = [sys.executable, ROOT / "tools/kernel_report.py", tmp_path / "some.o"]
        return subprocess.run(
            [*command, "--match", match], capture_output=True, text=True, check=False
        )

    good, bad = reported("good"), reported("bad")
    if "needs cuobjdump" in good.stderr:
        pytest.skip("no cuobjdump")
    assert good.returncode == 0 and "good" in good.stdout, good.stderr
    assert bad.returncode == 1 and "bad has 2048 bytes of stack" in bad.stderr
