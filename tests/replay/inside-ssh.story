[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of ssh.service 96.95% > 75% for 350ms (everything-else): the culprit is protected; to blame: ssh.service 98%, postgresql.service 1%, api.service 1%
[   1.350] cpu wait of ssh.service 96.95% > 75% for 350ms (everything-else) -> SCHED_IDLE for its worst tasks on ssh.service; next: postgresql.service 1%, api.service 1%
[   6.550] victims are well on ssh.service after 5.2s (everything-else)
[   6.950] cpu wait of ssh.service 93.56% > 75% for 400ms (everything-else) -> again SCHED_IDLE for its worst tasks on ssh.service; next: api.service 2%, postgresql.service 1%
[  17.150] victims are well on ssh.service after 10.2s (everything-else)
189 events over 21.9 s: the same 37 actions
