[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of ssh.service 96.95% > 75% for 350ms (everything-else): the culprit is protected; to blame: ssh.service 98%, postgresql.service 1%, api.service 1%
[   1.350] cpu wait of ssh.service 96.95% > 75% for 350ms (everything-else) -> SCHED_IDLE for its worst tasks on ssh.service; next: postgresql.service 1%, api.service 1%; for at most 30min
[   1.496] cpu wait of ssh.service 96.95% > 75% for 350ms (everything-else) -> 64 tasks are SCHED_IDLE now: burn x64 on ssh.service; for at most 30min
[   9.150] victims are well on ssh.service after 7.8s (everything-else): cpu wait of ssh.service 0.14% < 37.5%
[  19.350] incident over after 18s: nobody is harmed, nothing is squeezed
190 events over 21.9 s: the same 37 actions
