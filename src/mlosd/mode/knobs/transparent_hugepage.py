"""Transparent huge pages for memory that programs map themselves (admin-guide/mm/transhuge, "enabled").

"always" gives large arrays pages of 2 MiB without their asking: fewer faults while they grow, fewer misses of the TLB
while they are walked. "madvise" leaves the choice to the program: PyTorch asks where THP_MEM_ALLOC_ENABLE=1 is set.
"never" suits programs that touch their memory sparsely.

Memory that is mapped already keeps its pages until khugepaged comes by; so set the mode before the training starts.
It may cost memory, since a page of 2 MiB is used whole, and time where memory must be compacted first: see
transparent-hugepage-defrag. What it gains depends on the work: mlosctl mode benefit tells.
"""

from mlosd.mode.knob import one_of, sysfs_knob

KNOB = sysfs_knob(
    "transparent-hugepage",
    attr="kernel/mm/transparent_hugepage/enabled",
    accepts=one_of("always", "madvise", "never"),
    stage=70,
    kind="choice",
    rivals=("tuned.service",),
)
