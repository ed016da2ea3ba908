[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of postgresql.service 91.34% > 65.62% for 350ms (everything-else): a runaway; to blame: docker-ec039746d48900000000000000000000000000000000000000000 3%, docker-a6ab79c3de2900000000000000000000000000000000000000000 3%, docker-75979bae498e00000000000000000000000000000000000000000 3%
[   1.350] cpu wait of postgresql.service 91.34% > 65.62% for 350ms (everything-else) -> quota, together 25% of the machine on 30 cgroups under /system.slice; next: docker-a6ab79c3de2900000000000000000000000000000000000000000 3%, docker-75979bae498e00000000000000000000000000000000000000000 3%; for at most 30min
[   5.000] somebody rewrote our value; written again, at most once a second and five times on docker-ec039746d48900000000000000000000000000000000000000000 after 3650ms (everything-else); for at most 1796s
[   6.950] giving back in steps on 30 cgroups under /system.slice (everything-else): cpu wait of postgresql.service 0.01% < 37.5%; for at most 29.9min
[  10.000] somebody keeps rewriting our value; given in, left alone for 10min on docker-ec039746d48900000000000000000000000000000000000000000 after 8650ms (everything-else)
[  11.000] somebody rewrote our value; written again, at most once a second and five times on docker-a6ab79c3de2900000000000000000000000000000000000000000 after 9650ms (everything-else); for at most 1790s
[  15.150] gone by itself on 29 cgroups under /system.slice after 13650ms (everything-else)
332 events over 19.9 s: the same 127 actions
the record ends in mid-incident: the guard died, or FlightRecorder= or the room in the run directory was used up; what came after is not in it
