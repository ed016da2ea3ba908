[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of postgresql.service 90.9% > 65.62% for 350ms (everything-else): a runaway; to blame: docker-b36526c0371300000000000000000000000000000000000000000 3%, docker-9a408b460f0a00000000000000000000000000000000000000000 3%, docker-c257e103973a00000000000000000000000000000000000000000 3%
[   1.350] cpu wait of postgresql.service 90.9% > 65.62% for 350ms (everything-else) -> quota, together 25% of the machine on 30 cgroups under /system.slice; next: docker-9a408b460f0a00000000000000000000000000000000000000000 3%, docker-c257e103973a00000000000000000000000000000000000000000 3%; for at most 30min
[   5.000] by command: paused: everything squeezed is released, and nothing more is changed until it ends (4s)
[   5.350] cpu wait of postgresql.service 91% > 65.62% for 400ms (everything-else) -> would set quota, together 25% of the machine on 30 cgroups under /system.slice; next: docker-9a408b460f0a00000000000000000000000000000000000000000 3%, docker-c257e103973a00000000000000000000000000000000000000000 3%; for at most 30min
[   9.000] by command: the pause has ended
[   9.150] cpu wait of postgresql.service 92.32% > 65.62% for 4.2s (everything-else) -> again quota, together 25% of the machine on 30 cgroups under /system.slice; next: docker-9a408b460f0a00000000000000000000000000000000000000000 3%, docker-c257e103973a00000000000000000000000000000000000000000 3%; for at most 30min
[  15.150] gone by itself on 30 cgroups under /system.slice after 5850ms (everything-else)
343 events over 19.9 s: the same 148 actions
the record ends in mid-incident: the guard died, or FlightRecorder= or the room in the run directory was used up; what came after is not in it
