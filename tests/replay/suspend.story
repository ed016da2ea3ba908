[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of postgresql.service 91.77% > 65.62% for 350ms (everything-else): a runaway; to blame: docker-30e0ef79d5c600000000000000000000000000000000000000000 3%, docker-f384d301071000000000000000000000000000000000000000000 3%, docker-01841ce3c96e00000000000000000000000000000000000000000 3%
[   1.350] cpu wait of postgresql.service 91.77% > 65.62% for 350ms (everything-else) -> quota, together 25% of the machine on 30 cgroups under /system.slice; next: docker-f384d301071000000000000000000000000000000000000000000 3%, docker-01841ce3c96e00000000000000000000000000000000000000000 3%; for at most 30min
[3605.000] released: AtMost= is over on 30 cgroups under /system.slice (everything-else): cpu wait of postgresql.service 1.21% < 75%
113 events over 3605.0 s: the same 69 actions
the record ends in mid-incident: the guard died, or FlightRecorder= or the room in the run directory was used up; what came after is not in it
