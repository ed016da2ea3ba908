[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of containerd.service 97.77% > 75% for 350ms (everything-else): a real-time task; to blame: audio.service 97%, cron.service 0%, chrony.service 0%
[   1.350] cpu wait of containerd.service 97.77% > 75% for 350ms (everything-else) -> SCHED_OTHER for its real-time tasks on audio.service; next: cron.service 0%, chrony.service 0%
[   6.550] victims are well on audio.service after 5.2s (everything-else)
[   6.950] cpu wait of postgresql.service 93.6% > 75% for 400ms (everything-else) -> again SCHED_OTHER for its real-time tasks on audio.service; next: chrony.service 0%, cron.service 0%
[   7.150] gone by itself on audio.service after 50ms (everything-else)
[  17.550] incident over after 16.2s: nobody is harmed, nothing is squeezed
170 events over 19.9 s: the same 32 actions
