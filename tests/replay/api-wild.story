[   1.250] alarm: cpu pressure 100% > 10%
[   3.750] incident: cpu wait of api.service 93.9% > 75% for 400ms (everything-else): the culprit is protected; to blame: api.service 99%, postgresql.service 1%, session-3.scope 0%
[   4.350] cpu wait of api.service 93.93% > 75% for 1s (everything-else) -> SCHED_IDLE for its worst tasks on api.service; next: postgresql.service 1%, ssh.service 0%; for at most 30min
[   4.425] cpu wait of api.service 93.93% > 75% for 1s (everything-else) -> 32 tasks are SCHED_IDLE now: api-worker x32 on api.service; for at most 30min
[   9.550] victims are well on api.service after 5.2s (everything-else): cpu wait of the canary 0% < 37.5%
[  19.750] incident over after 16s: nobody is harmed, nothing is squeezed
190 events over 21.9 s: the same 37 actions
