# SPDX-License-Identifier: Apache-2.0
"""What the guest must be for the other tests to mean anything.

These run without the product and before it is started: the platform is what
it is believed to be, each runaway does the harm that relief is measured
against, and systemd behaves as the guard expects of it.
"""

import ctypes
import os
import time

import lib
from lib import check, note, read, write

TESTS = []


@lib.test(TESTS)
def platform(c):
    check(read("/proc/1/comm") == "systemd", "PID 1 is not systemd")
    check("cgroup2" in lib.sh("findmnt", "-no", "FSTYPE", lib.CGROUP), "no cgroup v2")
    check("cpu" in read(lib.CGROUP + "/cgroup.controllers").split(), "no cpu controller")
    check("some" in read("/proc/pressure/cpu"), "no PSI")
    check(os.path.exists("/sys/kernel/btf/vmlinux"), "no BTF")
    on = read(lib.SYSTEM + "/cgroup.subtree_control")
    note(f"{os.uname().release}, {lib.sh('systemctl', '--version').split()[1]}, {lib.CPUS} CPUs, "
         f"clock {read('/sys/devices/system/clocksource/clocksource0/current_clocksource')}, "
         f"system.slice has: {on}")
    check("cpu" not in on.split(), f"system.slice is not as on a stock Debian: {on}")
    failed = lib.systemctl("--failed", "--plain", "--no-legend")
    check(not failed, f"units failed at boot: {failed}")


@lib.test(TESTS)
def bpf(c):
    """An empty tp_btf/sched_switch program loads, attaches and runs."""
    b = ctypes.CDLL("libbpf.so.1", use_errno=True)

    class Opts(ctypes.Structure):
        _fields_ = [("sz", ctypes.c_size_t), ("attempts", ctypes.c_int),
                    ("expected_attach_type", ctypes.c_int), ("prog_btf_fd", ctypes.c_uint32),
                    ("prog_flags", ctypes.c_uint32), ("prog_ifindex", ctypes.c_uint32),
                    ("kern_version", ctypes.c_uint32), ("attach_btf_id", ctypes.c_uint32),
                    ("rest", ctypes.c_uint64 * 16)]

    tracing, raw_tp = 26, 23  # BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP
    btf_id = b.libbpf_find_vmlinux_btf_id(b"sched_switch", raw_tp)
    check(btf_id > 0, f"no BTF id of sched_switch: {btf_id}")
    insns = (ctypes.c_uint64 * 2)(0xB7, 0x95)  # r0 = 0; exit
    opts = Opts(sz=ctypes.sizeof(Opts), expected_attach_type=raw_tp, attach_btf_id=btf_id)
    prog = b.bpf_prog_load(tracing, b"empty", b"GPL", insns, ctypes.c_size_t(2), ctypes.byref(opts))
    check(prog > 0, f"load: {os.strerror(ctypes.get_errno())}")
    link = b.bpf_raw_tracepoint_open(None, prog)
    check(link > 0, f"attach: {os.strerror(ctypes.get_errno())}")
    write("/proc/sys/kernel/bpf_stats_enabled", "1")
    time.sleep(0.5)
    info = dict(line.split(":\t") for line in read(f"/proc/self/fdinfo/{prog}").splitlines())
    write("/proc/sys/kernel/bpf_stats_enabled", "0")
    os.close(link)
    os.close(prog)
    check(int(info["run_cnt"]) > 0, "attached, but did not run")
    note(f"empty program: {int(info['run_time_ns']) // int(info['run_cnt'])} ns a switch in this guest")


@lib.test(TESTS)
def login(c):
    """A login is one with PAM and logind: it gets a session and a scope."""
    took = c.logins.once(120, "echo $XDG_SESSION_ID; cat /proc/self/cgroup", c.logins.COLD)
    note(f"the first login of all, of a user without a manager: {took or 120:.1f} s")
    got = c.logins.output.split()
    check(len(got) == 2 and got[0].isdigit(), f"no logind session: {got}")
    check("/user.slice/user-" in got[1] and "/session-" in got[1], f"not in a session scope: {got[1]}")
    c.logins.measure_idle()


@lib.test(TESTS)
def harm_siblings(c):
    c.logins.measure_idle()
    with lib.Services("hog") as load, load.opened():
        time.sleep(2)
        c.logins.show_harm("64 services x 1 hog per CPU")
        c.shown.add("siblings")


@lib.test(TESTS)
def harm_inside(c):
    c.logins.measure_idle()
    with lib.Inside("inside", lib.SSH, 64) as load, load.opened():
        time.sleep(2)
        c.logins.show_harm("64 hogs in ssh.service")
        c.shown.add("inside")


@lib.test(TESTS)
def harm_churn(c):
    c.logins.measure_idle()
    with lib.Services("churn", n=1, mode="fork", workers=64) as load, load.opened():
        time.sleep(2)
        before, began = forks(), time.monotonic()
        time.sleep(2)
        note(f"fork churn: {(forks() - before) / (time.monotonic() - began):.0f} forks/s")
        c.logins.show_harm("fork churn of 64 parents")
        c.shown.add("churn")


@lib.test(TESTS)
def harm_scopes(c):
    c.logins.measure_idle()
    with lib.Scopes("docker") as load, load.opened():
        time.sleep(2)
        c.logins.show_harm("48 docker scopes x 1 hog per CPU")
        c.shown.add("scopes")


@lib.test(TESTS)
def harm_postgres(c):
    c.logins.measure_idle()
    with lib.Postgres() as pg:
        idle = sorted(pg.query(60) for _ in range(3))[1]
        with pg.opened():
            took = pg.query(lib.HARM * idle)
            note(f"query idle {idle:.2f} s, beside {pg.n} runaway backends "
                 + (f"{took:.2f} s" if took else f"cut at {lib.HARM * idle:.2f} s"))
            check(took is None, "the backends do no harm to a query")
            c.logins.show_harm(f"{pg.n} runaway SQL backends")
            c.shown.add("postgres")


def forks():
    return int(next(x for x in read("/proc/stat").splitlines() if x.startswith("processes")).split()[1])


@lib.test(TESTS)
def systemd_resets(c):
    """Which hand-written values systemd takes back, and when.

    What the guard relies on is checked: it may lose its values (it re-asserts),
    but what stops systemd from removing the controller must hold. The rest is
    noted, since it varies with systemd's version.
    """
    for name, extra in (("keep", "CPUWeight=100"), ("plain", ""), ("other", "")):
        write(f"{lib.UNITS}/vm-{name}.service",
              f"[Service]\nSlice=system.slice\nExecStart=/bin/sleep infinity\n{extra}\n")
    lib.systemctl("daemon-reload")
    lib.systemctl("start", "vm-plain.service")
    unit = lib.SYSTEM + "/vm-plain.service"
    check(not os.path.exists(unit + "/cpu.max"), "cpu.max exists though no unit asked for cpu")

    # A controller switched on by hand does not last.
    for d in (lib.CGROUP, lib.SYSTEM):
        write(d + "/cgroup.subtree_control", "+cpu")
    write(unit + "/cpu.max", "50000 100000")
    lib.systemctl("daemon-reload")
    note("+cpu by hand, then daemon-reload: " +
         ("kept" if os.path.exists(unit + "/cpu.max") else "the controller is removed"))

    # With one unit that asks for it, it does.
    lib.systemctl("start", "vm-keep.service")
    wanted = {"cpu.weight": "20", "cpu.max": "50000 100000", "cpu.idle": "0", "pids.max": "1000",
              "cgroup.freeze": "0", "memory.high": "104857600"}
    steps = (
        ("daemon-reload", ("daemon-reload",)),
        ("start of another unit", ("restart", "vm-other.service")),
        ("set-property MemoryMax= on another unit",
         ("set-property", "--runtime", "vm-other.service", "MemoryMax=1G")),
        ("set-property TasksMax= on the unit", ("set-property", "--runtime", "vm-plain.service", "TasksMax=2000")),
        ("set-property MemoryMax= on the unit",
         ("set-property", "--runtime", "vm-plain.service", "MemoryMax=1G")),
        ("set-property CPUWeight=100 on another unit",
         ("set-property", "--runtime", "vm-keep.service", "CPUWeight=100")),
        ("set-property CPUWeight=50 on the unit",
         ("set-property", "--runtime", "vm-plain.service", "CPUWeight=50")),
        ("daemon-reload, with CPUWeight=50 set", ("daemon-reload",)),
        ("set-property CPUQuota=80% on the unit",
         ("set-property", "--runtime", "vm-plain.service", "CPUQuota=80%")),
    )
    try:
        for what, argv in steps:
            for k, v in wanted.items():
                write(f"{unit}/{k}", v)
            check(read(unit + "/cpu.weight") == "20", "cpu.weight not written")
            lib.systemctl(*argv)
            time.sleep(1)  # systemd realizes cgroups from a queue
            now = {k: read(f"{unit}/{k}") if os.path.exists(f"{unit}/{k}") else "gone" for k in wanted}
            lost = [f"{k} {v} -> {now[k]}" for k, v in wanted.items() if now[k] != v]
            note(f"hand-written values after {what}: " + (", ".join(lost) or "all kept"))
            check(now["cpu.max"] != "gone", f"{what}: the cpu controller is gone although a unit asks for it")
        # cpu.idle by hand, then a reload.
        write(unit + "/cpu.idle", "1")
        lib.systemctl("daemon-reload")
        time.sleep(1)
        note(f"cpu.idle=1 by hand, then daemon-reload: cpu.idle {read(unit + '/cpu.idle')}, "
             f"cpu.weight {read(unit + '/cpu.weight')}")
    finally:
        lib.systemctl("stop", "vm-plain.service", "vm-other.service", "vm-keep.service")
        lib.systemctl("revert", "vm-plain.service", "vm-other.service", "vm-keep.service", ok=False)
        lib.systemctl("daemon-reload")
