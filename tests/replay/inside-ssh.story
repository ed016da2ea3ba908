[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of ssh.service 96.95% > 75% for 350ms (everything-else): the culprit is protected; to blame: ssh.service 98%, postgresql.service 1%, api.service 1%
[   1.350] cpu wait of ssh.service 96.95% > 75% for 350ms (everything-else) -> SCHED_IDLE for its worst tasks on ssh.service; next: postgresql.service 1%, api.service 1%
[   9.150] victims are well on ssh.service after 7.8s (everything-else)
[  19.350] incident over after 18s: nobody is harmed, nothing is squeezed
191 events over 21.9 s: the same 36 actions
