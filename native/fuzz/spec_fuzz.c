// Feeds bytes to the parser of specs. LLVMFuzzerTestOneInput is libFuzzer's entry; without libFuzzer main() reads
// inputs from stdin, each after its length in four bytes (tests/native/test_spec_fuzz.py makes them).
#include "../shepherd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    // Exactly as large as the input, so that a read past its end is seen.
    char *text = malloc(size);
    if (!text && size)
        abort();
    if (size)
        memcpy(text, data, size);
    struct mlos_spec spec;
    int r = mlos_spec_init(&spec, text, size);
    // What the launcher will rely on.
    if (r == 0 && (spec.argc == 0 || spec.argv[spec.argc] || spec.env[spec.envc] || spec.grace_ms < 0 ||
                   spec.uid == (uid_t)-1 || spec.gid == (gid_t)-1 || spec.affinity_size > MLOS_CPU_BYTES))
        abort();
    mlos_spec_deinit(&spec);
    free(text);
    return r == 0 ? 1 : 0;
}

#ifndef MLOS_LIBFUZZER
int main(void)
{
    unsigned long inputs = 0, accepted = 0;
    for (uint32_t size; fread(&size, sizeof size, 1, stdin) == 1; inputs++) {
        uint8_t *data = malloc(size ? size : 1);
        if (!data || fread(data, 1, size, stdin) != size)
            return 1;
        accepted += (unsigned long)LLVMFuzzerTestOneInput(data, size);
        free(data);
    }
    printf("%lu %lu\n", inputs, accepted);
    return 0;
}
#endif
