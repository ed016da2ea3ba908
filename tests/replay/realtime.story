[   1.250] alarm: cpu pressure 33.56% > 10%
[   1.550] incident: cpu wait of the canary 94.49% > 75% for 383ms (everything-else): a real-time task; to blame: audio.service 98%, cron.service 0%, chrony.service 0%
[   1.550] cpu wait of the canary 94.49% > 75% for 383ms (everything-else) -> SCHED_OTHER for its real-time tasks on audio.service; next: cron.service 0%, chrony.service 0%; for at most 30min
[   1.675] cpu wait of the canary 94.49% > 75% for 383ms (everything-else) -> 2 tasks are SCHED_OTHER now: fifo x2 on audio.service; for at most 30min
[   7.150] gone by itself on audio.service after 5450ms (everything-else)
[  17.150] incident over after 15.6s: nobody is harmed, nothing is squeezed
166 events over 19.9 s: the same 29 actions
