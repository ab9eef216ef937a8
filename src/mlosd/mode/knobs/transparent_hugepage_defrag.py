"""How hard a program that wants a huge page tries to get one (admin-guide/mm/transhuge, "defrag").

"defer+madvise" lets programs that ask with madvise(2) wait for memory to be compacted and gives all others a small page
now and a large one later, in the background. "always" makes every fault wait, which shows as pauses of milliseconds
when memory is fragmented; "never" and "defer" never wait. It matters only while transparent-hugepage is not "never".
"""

from mlosd.mode.knob import one_of, sysfs_knob

KNOB = sysfs_knob(
    "transparent-hugepage-defrag",
    attr="kernel/mm/transparent_hugepage/defrag",
    accepts=one_of("always", "defer", "defer+madvise", "madvise", "never"),
    stage=70,
    kind="choice",
    rivals=("tuned.service",),
)
