[   1.250] alarm: cpu pressure 100% > 10%
[   3.750] incident: cpu wait of api.service 93.9% > 75% for 400ms (everything-else): the culprit is protected; to blame: api.service 99%, postgresql.service 1%, session-3.scope 0%
[   3.750] cpu wait of api.service 93.9% > 75% for 400ms (everything-else) -> SCHED_IDLE for its worst tasks on api.service; next: postgresql.service 1%, session-3.scope 0%
[   9.150] victims are well on api.service after 5.4s (everything-else)
[  19.350] incident over after 15.6s: nobody is harmed, nothing is squeezed
191 events over 21.9 s: the same 36 actions
