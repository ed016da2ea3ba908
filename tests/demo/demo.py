#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""demo: see reprieve work on this machine, in a few minutes, and leave nothing behind.

    sudo make demo            or      sudo tests/demo/demo.py [--build DIR] [--mode enforce|rescue] [--quick]

Makes a private victim (an sshd on a loopback port with a throw-away key, and a small
health endpoint), lets three runaways loose one after the other and measures, five
times a cell: idle, under the runaway, under it with reprieve, after release. Harm is
shown first; where a runaway does not make logins several times slower here, its row
proves nothing, and the table says so: that is the machine's luck, no failure. What is
missing (root, a writable cgroup tree, BPF) is said, and what can be shown without is
shown in observe mode.

Exit codes: 0 shown; 1 no relief where harm was shown, something not put back, or something
that could not be shown at all; 130 interrupted.
"""
import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))
import labguard  # noqa: E402
import lab  # noqa: E402
from lab import HARM_FACTOR, GuardRunning, Lab, Missing, Sample, deaf, die_with_parent, harmed, hear, median, read, tool  # noqa: E402

LOGINS, CUT = 5, 8.0             # a cell's, and seconds after which one counts as none
GIVE_UP = 2                      # logins of a cell that were cut, one after the other from its first: the rest would be
HEALTH_CUT = 3.0
IN_ALL = 300                     # seconds that all of `make demo` may take
QUICK = (1, 3.0)                 # the same with --quick, which shows one runaway only
WARM = 1.5                       # seconds a runaway runs before its first login
SQUEEZE_WAIT = {"enforce": 10, "rescue": 45}
RUNAWAYS = ("siblings", "inside", "churn")
POLICIES = ["shipped", "60-lab.policy"]
OWN = "with the shipped policies and the demo's own, 60-lab: its sshd is protected, its runaways may be squeezed."
LIFELINE = "Part of the relief is the lifeline, a higher CPU weight that the sshd has from the start."
MODES = {"enforce": (f"Mode enforce, which acts at once, {OWN}",
                     "The default, rescue, waits until a login would take more than about 5 s, for 20 s on end. " + LIFELINE),
         "rescue": (f"Mode rescue, the default, which waits until a login would take more than about 5 s, for 20 s on end, {OWN}", LIFELINE)}
BAR = 30


class Show:
    """The live display: one line that moves on a terminal, plain lines elsewhere."""

    def __init__(self, logins=LOGINS, cut=CUT):
        self.logins, self.cut = logins, cut
        self.tty = sys.stdout.isatty()
        self.colour = self.tty and not os.environ.get("NO_COLOR")
        self.pressure_at = (time.monotonic(), self._total())
        self.pressure = 0.0

    @staticmethod
    def _total():
        try:
            return int(read("/proc/pressure/cpu").splitlines()[0].rsplit("total=", 1)[1])
        except (OSError, IndexError, ValueError):
            return None

    def paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def moving(self, text):
        now, total = time.monotonic(), self._total()
        if total is not None and self.pressure_at[1] is not None and now - self.pressure_at[0] > 0.1:
            self.pressure = min(100.0, (total - self.pressure_at[1]) / (now - self.pressure_at[0]) / 1e4)
            self.pressure_at = (now, total)
        if self.tty:
            full = round(self.pressure / 100 * BAR)
            width = shutil.get_terminal_size().columns - 1
            line = f"  CPU pressure {'#' * full}{'.' * (BAR - full)} {self.pressure:3.0f} %   {text}"
            sys.stdout.write("\r\033[K" + line[:width])
            sys.stdout.flush()

    def line(self, text=""):
        if self.tty:
            sys.stdout.write("\r\033[K")
        print(text, flush=True)

    def head(self, text):
        self.line()
        self.line(self.paint("1", text))


def seconds(s):
    if s is None:
        return "-"
    return f"{s * 1000:.0f} ms" if s < 0.1 else f"{s:.2f} s" if s < 10 else f"{s:.0f} s"


def cell_text(samples, cut):
    """"0.38 s (0.41)": the median, and the worst; a login that never came counts as the cut."""
    if not samples:
        return "-"
    text = seconds(median([s["seconds"] for s in samples])) + f" ({seconds(max(s['seconds'] for s in samples))})"
    failed = sum(not s["ok"] for s in samples)
    if failed == len(samples):
        return f"none in {seconds(cut)}"
    return text + (f", {failed} failed" if failed else "")


def plain(samples):
    return [{"seconds": round(s.seconds, 4), "ok": s.ok, **({"error": s.error} if s.error else {})} for s in samples]


def measure(show, lab, label):
    """Some logins and as many health checks. Where the first logins come to nothing, the rest count as cut."""
    logins, health = [], []
    for i in range(show.logins):
        if i == GIVE_UP and not any(s.ok for s in logins) and min(s.seconds for s in logins) >= show.cut:
            logins += [Sample(show.cut, False, "not tried: those before it were cut", 0)] * (show.logins - i)
            break
        s = lab.login(show.cut, lambda t: show.moving(f"{label}: login {i + 1} of {show.logins} ... {t:.1f} s"))
        logins.append(s)
        health.append(lab.health(HEALTH_CUT))
        show.moving(f"{label}: login {i + 1} of {show.logins} took {seconds(s.seconds)}")
    cell = {"login": plain(logins), "health": plain(health), "tried": len(health)}
    show.line(f"  {label:<24} login {cell_text(cell['login'], show.cut):<26} health check {cell_text(cell['health'], HEALTH_CUT)}"
              + (f"   ({len(health)} tried, the rest counts as cut)" if len(health) < show.logins else ""))
    return cell, logins


def relieved(idle, without, relief, cut):
    """Whether logins are well again, or take half as long at most; one that fails counts as the cut."""
    took = [[s.seconds if s.ok else cut for s in cell] for cell in (without, relief)]
    return not harmed(idle, [s._replace(seconds=t) for s, t in zip(relief, took[1])]) or median(took[1]) <= median(took[0]) / 2


def wait(show, until, text):
    while time.monotonic() < until:
        show.moving(text)
        time.sleep(0.2)


def one_row(show, lab, name, idle_logins, args):
    """One runaway, from harm to release."""
    row = {"runaway": name, "proves": False, "relieved": None, "why": [], "squeezed": [], "put_back": None, "error": None}
    with lab.runaway(name) as runaway:
        row["title"] = runaway.title
        show.head(runaway.title)
        before = [g.state() for g in runaway.groups]
        runaway.go()
        wait(show, time.monotonic() + WARM, "the runaway is loose")
        row["without"], under = measure(show, lab, "without reprieve")
        row["proves"] = harmed(idle_logins, under)
        runaway.pause()
        if not row["proves"]:
            show.line(show.paint("33", f"  Logins are not {HARM_FACTOR} times slower here: this row proves nothing."))
        with lab.guard(args.mode, build=args.build) as guard:
            time.sleep(0.5)
            runaway.go()
            loose = time.monotonic()
            acted = None
            while acted is None and time.monotonic() - loose < SQUEEZE_WAIT[args.mode]:
                lab.health(1)                        # the victim wants its CPU, as it would in life
                status = guard.status()
                acted = time.monotonic() - loose if status["squeezes"] else None
                show.moving(f"reprieve: {status['state']}, {len(status['squeezes'])} squeezed")
            row["seconds_to_relief"] = acted and round(acted, 2)
            show.line(f"  reprieve acted within {seconds(acted)} of the runaway" if acted is not None else
                      show.paint("33", f"  reprieve squeezed nothing within {SQUEEZE_WAIT[args.mode]} s; it says why below"))
            row["with"], relief = measure(show, lab, "with reprieve")
            row["relieved"] = relieved(idle_logins, under, relief, show.cut)
            row["squeezed"] = guard.squeezes()
            row["capabilities"] = guard.status()["capabilities"]
            runaway.pause()
            guard.release_all()
            row["why"] = [{"time": l["time"], "why": l["why"], "verb": l["verb"], "text": l["text"]} for l in guard.why(60)]
        left = [c for g, b in zip(runaway.groups, before) for c in g.changes(b)]
        row["put_back"] = not left
    lab.settle(timeout=5)
    row["after"], _ = measure(show, lab, "after release")
    for l in row["why"]:
        show.line(show.paint("2", f"    {l['text']}"))
    show.line("  every value is back as it was" if row["put_back"] else show.paint("31", f"  NOT everything was put back: {'; '.join(left[:3])}"))
    return row


def table(show, idle, rows):
    columns = ("idle", "without reprieve", "with reprieve", "after release")
    show.head(f"{'median (worst of %d)' % show.logins:<48}" + "".join(f"{c:<22}" for c in columns))
    for row in rows:
        for kind, what, cut in (("login", "login", show.cut), ("health", "health check", HEALTH_CUT)):
            cells = (idle, row.get("without"), row.get("with"), row.get("after"))
            left = row["title"] if kind == "login" else ""
            show.line(f"{left:<48}")if kind == "login" else None
            show.line(f"  {what:<46}" + "".join(f"{cell_text(c[kind], cut) if c else '-':<22}" for c in cells))
        if row.get("error"):
            show.line(f"  not finished: {row['error']}")
        elif not row["proves"]:
            show.line("  this row proves nothing: logins were not several times slower without reprieve")
        elif not row["relieved"]:
            show.line(show.paint("31", "  no relief: logins were harmed, and with reprieve they do not take half as long"))
        if any((c or {}).get("tried", show.logins) < show.logins for c in (row.get("without"), row.get("with"), row.get("after"))):
            show.line(f"  where the first {GIVE_UP} logins were cut, the rest was not tried and counts as cut")
        show.line()


def observe(show, args, missing):
    """What can be shown without squeezing anything: what the guard sees and would do."""
    show.head("Observe mode: what reprieve sees here, and would do; it touches nothing")
    out = {"status": None, "why": []}
    d, procs = None, []

    def spawn(argv, how, log):
        """It dies with us, whenever that is; what is started is known, or ended."""
        with deaf():
            procs.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          preexec_fn=lambda: (die_with_parent(how), hear())))
    try:
        with deaf():
            d = tempfile.mkdtemp(prefix="reprieve-demo-")
        os.makedirs(d + "/root/etc/reprieve/policies")
        vendor = os.path.join(os.path.dirname(os.path.dirname(HERE)), "policies")
        os.makedirs(d + "/root/usr/lib/reprieve/policies")
        for name in os.listdir(vendor) if os.path.isdir(vendor) else []:
            shutil.copyfile(f"{vendor}/{name}", f"{d}/root/usr/lib/reprieve/policies/{name}")
        for where, dirs, files in os.walk(d):            # files that others may write are refused
            os.chmod(where, 0o755)
            for n in files:
                os.chmod(os.path.join(where, n), 0o644)
        with open(d + "/log", "wb") as log:
            spawn([labguard.program(args.build, "reprieved"), "--mode", "observe", "--root", d + "/root",
                   "--rundir", d + "/run", "--helpers", args.build], signal.SIGTERM, log)
        spawn([tool("hog"), "-n", str(4 * os.cpu_count()), "-d", "12"], signal.SIGKILL, subprocess.DEVNULL)
        wait(show, time.monotonic() + (3 if args.quick else 6), "a few hogs, for the guard to look at")
        for verb in ("status", "why"):
            argv = [labguard.program(args.build, "reprieve"), "--rundir", d + "/run"]
            r = subprocess.run(argv + ["--json", verb], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            try:
                out[verb] = json.loads(r.stdout)
            except ValueError:
                pass
            text = subprocess.run(argv + [verb], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
            for l in text.rstrip().splitlines():
                show.line("  " + l)
        if out["status"] is None:
            missing.append("the guard did not answer: " + read(d + "/log").strip()[-400:])
            show.line(missing[-1])
    finally:
        with deaf():
            for p in procs:
                if p.poll() is None:
                    p.terminate()
                    try:
                        p.wait(10)
                    except subprocess.TimeoutExpired:
                        p.kill()
                        p.wait()
            if d is not None:
                shutil.rmtree(d, ignore_errors=True)
    for c in (out["status"] or {}).get("capabilities", []):
        if not c["have"]:
            missing.append(c["what"])
    return out


def missing_here():
    """What this machine lacks and the demo goes on without: [(what, remedy)]."""
    out = []
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        out.append(("no kernel BTF (/sys/kernel/btf/vmlinux): the BPF probe can not be loaded, cgroup statistics are used",
                    "a kernel with CONFIG_DEBUG_INFO_BTF"))
    try:
        read("/proc/pressure/cpu")
    except OSError:
        out.append(("no pressure information (/proc/pressure/cpu): run-queue figures are used", "boot with psi=1"))
    return out


def verdict(rows):
    """The failures of rows that were measured, as text: harm without relief, and what was not put back."""
    return ([f"{r['title']}: no relief" for r in rows if not r["error"] and r["proves"] and not r["relieved"]]
            + [f"{r['title']}: not everything was put back" for r in rows if r.get("put_back") is False]
            + [f"{r['title']}: {r['error']}" for r in rows if r["error"]])


def demo(show, args, result):
    """0: shown; 1: not all of it could be."""
    code = 0
    try:
        with Lab() as l:
            result["layout"], result["policies"] = l.tree.layout.kind, POLICIES
            for text in MODES[args.mode]:
                show.line(text)
            show.head(f"A private sshd on port {l.victim.port} and a health endpoint, in a cgroup of their own "
                      f"({l.tree.layout.kind}, {os.cpu_count()} CPUs, kernel {platform.release()})")
            result["idle"], idle_logins = measure(show, l, "idle")
            if not any(s.ok for s in idle_logins):
                raise Missing(f"not even an idle login works here ({idle_logins[0].error}): nothing can be compared")
            for name in args.only or (RUNAWAYS[:1] if args.quick else RUNAWAYS):
                row = {"runaway": name, "title": name, "proves": False, "error": None}
                try:
                    row = one_row(show, l, name, idle_logins, args)
                except (RuntimeError, Missing, OSError, subprocess.SubprocessError) as e:
                    row["error"] = str(e)
                    show.line(show.paint("31", f"  {e}"))
                    code = 1
                result["rows"].append(row)
    except GuardRunning as e:            # it would be in the way of observe mode too
        result["missing"].append(str(e))
        show.line(show.paint("33", f"{e}; then try again"))
        return 1
    except (Missing, OSError) as e:
        result["missing"].append(str(e))
        show.line(show.paint("33", f"Missing: {e}"))
        try:
            result["observe"] = observe(show, args, result["missing"])
        except Missing as e2:
            show.line(str(e2))
        return 1
    table(show, result["idle"], result["rows"])
    result["complete"] = code == 0
    result["failures"] = verdict(result["rows"])
    for text in result["failures"]:
        show.line(show.paint("31", f"Failed: {text}"))
    if result["failures"]:
        code = 1
    elif not all(r["proves"] for r in result["rows"]):
        show.line("Nothing failed: where a row proves nothing, its runaway did too little harm on this machine.")
    for c in next((r["capabilities"] for r in result["rows"] if r.get("capabilities")), []):
        if not c["have"]:
            show.line(f"Missing: {c['what']}: {c['why']}" + (f"; {c['remedy']}" if c["remedy"] else ""))
            result["missing"].append(c["what"])
    return code


def keep(result, build):
    """The directory demo.json was written to: the build's, or one of its own where that is not ours."""
    where = os.path.join(build, "demo")
    try:
        os.makedirs(where, exist_ok=True)
        if not os.access(where, os.W_OK):
            raise PermissionError
    except OSError:
        where = tempfile.mkdtemp(prefix="reprieve-demo-")
    with open(where + "/demo.json", "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    return where


def took(show, result):
    own, whole = result["seconds"], result["seconds_in_all"]
    if whole is None:
        return f"{own:.0f} s"
    text = f"{whole:.0f} s in all, {max(0, whole - own):.0f} s of them to install and build"
    return text + show.paint("33", f": more than the {IN_ALL} s it should take") if whole > IN_ALL else text


def main():
    p = argparse.ArgumentParser(description="See reprieve work on this machine.")
    p.add_argument("--build", default=os.environ.get("REPRIEVE_BUILD", "build"))
    p.add_argument("--mode", choices=("enforce", "rescue"), default="enforce",
                   help="enforce acts at once (the default here); rescue waits until the way in is dead for 20 s")
    p.add_argument("--only", action="append", choices=RUNAWAYS, help="this runaway only; may be repeated")
    p.add_argument("--quick", action="store_true", help="one runaway, one login a cell, a short patience: a look, no proof")
    p.add_argument("--began", type=float, metavar="UPTIME", help="seconds since boot at which `make demo` began, for the time in all")
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    os.environ["REPRIEVE_BUILD"] = args.build
    lab.TOOLS = os.path.join(args.build, "tools")
    for s in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, lab.interrupt)
    show = Show(*(QUICK if args.quick else (LOGINS, CUT)))
    started = time.monotonic()
    result = {"schema": 1, "mode": args.mode, "policies": None, "kernel": platform.release(), "cpus": os.cpu_count(), "layout": None,
              "cut_seconds": show.cut, "missing": [], "idle": None, "rows": [], "observe": None, "complete": False,
              "failures": [], "seconds": None, "seconds_in_all": None}
    for what, remedy in missing_here():
        result["missing"].append(what)
        show.line(show.paint("33", f"Missing: {what}; {remedy}"))
    try:
        code = demo(show, args, result)
    except KeyboardInterrupt:
        show.line("interrupted; everything the demo made is gone")
        code = 130
    with deaf():
        result["seconds"] = round(time.monotonic() - started, 1)
        if args.began is not None:
            result["seconds_in_all"] = round(time.clock_gettime(time.CLOCK_BOOTTIME) - args.began, 1)
        where = keep(result, args.build)
        show.line(took(show, result) + f"; the same as data: {os.path.relpath(where)}/demo.json")
    return code


if __name__ == "__main__":
    sys.exit(main())
