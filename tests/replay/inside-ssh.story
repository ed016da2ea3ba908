[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of ssh.service 94.55% > 75% for 350ms (everything-else): the culprit is protected; to blame: ssh.service 98%, postgresql.service 1%, api.service 1%
[   2.350] cpu wait of ssh.service 94.04% > 75% for 1350ms (everything-else) -> SCHED_IDLE for its worst tasks on ssh.service; next: api.service 2%, postgresql.service 1%
[   7.550] victims are well on ssh.service after 5.2s (everything-else)
[   8.550] cpu wait of ssh.service 94.4% > 75% for 1s (everything-else) -> again SCHED_IDLE for its worst tasks on ssh.service; next: api.service 1%, postgresql.service 1%
[  18.750] victims are well on ssh.service after 10.2s (everything-else)
189 events over 21.9 s: the same 37 actions
