// Gives the guest's processors P-states, so that the kernel's acpi-cpufreq drives them: policies, governors and limits
// in sysfs are real, only that nothing gets faster. The driver "sets" a frequency by a write to port 0x80, which QEMU
// takes and forgets. Names and places are QEMU's (hw/acpi/cpu.c); a processor that is not there is left out.
DefinitionBlock ("", "SSDT", 2, "MLOSD", "CPUFREQ", 1)
{
    Name (\PPC, 0)
    // MHz, mW, latency and bus latency in us, control, status: ACPI 6.5, 8.4.5.2
    Name (\PSS, Package () {
        Package () { 3000, 30000, 10, 10, 1, 1 },
        Package () { 2000, 20000, 10, 10, 2, 2 },
        Package () { 1000, 10000, 10, 10, 3, 3 }
    })
    Name (\PCT, Package () {
        ResourceTemplate () { Register (SystemIO, 8, 0, 0x80) },
        ResourceTemplate () { Register (SystemIO, 8, 0, 0x80) }
    })

    External (\_SB.CPUS.C000, DeviceObj)
    External (\_SB.CPUS.C001, DeviceObj)
    External (\_SB.CPUS.C002, DeviceObj)
    External (\_SB.CPUS.C003, DeviceObj)
    External (\_SB.CPUS.C004, DeviceObj)
    External (\_SB.CPUS.C005, DeviceObj)
    External (\_SB.CPUS.C006, DeviceObj)
    External (\_SB.CPUS.C007, DeviceObj)

    If (CondRefOf (\_SB.CPUS.C000)) { Scope (\_SB.CPUS.C000) { Alias (\PPC, _PPC) Alias (\PCT, _PCT) Alias (\PSS, _PSS) } }
    If (CondRefOf (\_SB.CPUS.C001)) { Scope (\_SB.CPUS.C001) { Alias (\PPC, _PPC) Alias (\PCT, _PCT) Alias (\PSS, _PSS) } }
    If (CondRefOf (\_SB.CPUS.C002)) { Scope (\_SB.CPUS.C002) { Alias (\PPC, _PPC) Alias (\PCT, _PCT) Alias (\PSS, _PSS) } }
    If (CondRefOf (\_SB.CPUS.C003)) { Scope (\_SB.CPUS.C003) { Alias (\PPC, _PPC) Alias (\PCT, _PCT) Alias (\PSS, _PSS) } }
    If (CondRefOf (\_SB.CPUS.C004)) { Scope (\_SB.CPUS.C004) { Alias (\PPC, _PPC) Alias (\PCT, _PCT) Alias (\PSS, _PSS) } }
    If (CondRefOf (\_SB.CPUS.C005)) { Scope (\_SB.CPUS.C005) { Alias (\PPC, _PPC) Alias (\PCT, _PCT) Alias (\PSS, _PSS) } }
    If (CondRefOf (\_SB.CPUS.C006)) { Scope (\_SB.CPUS.C006) { Alias (\PPC, _PPC) Alias (\PCT, _PCT) Alias (\PSS, _PSS) } }
    If (CondRefOf (\_SB.CPUS.C007)) { Scope (\_SB.CPUS.C007) { Alias (\PPC, _PPC) Alias (\PCT, _PCT) Alias (\PSS, _PSS) } }
}
