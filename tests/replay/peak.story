[   1.250] alarm: cpu pressure 100% > 10%
[   3.150] incident: cpu wait of api.service 44.31% < 75% for 400ms (everything-else): the culprit is protected; to blame: api.service 74%, postgresql.service 25%, ssh.service 0%
[   3.750] cpu wait of api.service 44.26% < 75% for 1s (everything-else) -> SCHED_IDLE for its worst tasks on api.service; next: postgresql.service 31%, ssh.service 0%
[   8.950] victims are well on api.service after 5.2s (everything-else)
143 events over 15.9 s: the same 26 actions
