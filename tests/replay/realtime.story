[   1.250] alarm: cpu pressure 33.56% > 10%
[   1.350] incident: cpu wait of postgresql.service 92.23% > 66% for 183ms (everything-else): a real-time task; to blame: audio.service 98%, cron.service 0%, chrony.service 0%
[   1.350] cpu wait of postgresql.service 92.23% > 66% for 183ms (everything-else) -> SCHED_OTHER for its real-time tasks on audio.service; next: cron.service 0%, chrony.service 0%
[   6.550] victims are well on audio.service after 5.2s (everything-else)
[   6.950] cpu wait of postgresql.service 91.56% > 66% for 400ms (everything-else) -> again SCHED_OTHER for its real-time tasks on audio.service; next: cron.service 0%, chrony.service 0%
[   7.150] gone by itself on audio.service after 50ms (everything-else)
[  17.550] incident over after 16.2s: nobody is harmed, nothing is squeezed
170 events over 19.9 s: the same 32 actions
