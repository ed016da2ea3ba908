[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of postgresql.service 91.32% > 65.62% for 350ms (everything-else): a runaway; to blame: docker-0afeb4ee95c600000000000000000000000000000000000000000 3%, docker-769027df0dd400000000000000000000000000000000000000000 3%, docker-1409eb514d7700000000000000000000000000000000000000000 3%
[   1.350] cpu wait of postgresql.service 91.32% > 65.62% for 350ms (everything-else) -> quota, together 25% of the machine on 30 cgroups under /system.slice; next: docker-769027df0dd400000000000000000000000000000000000000000 3%, docker-1409eb514d7700000000000000000000000000000000000000000 3%; for at most 30min
[   5.000] by command: everything released, and left alone for 10min
[   5.350] cpu wait of postgresql.service 91.1% > 65.62% for 400ms (everything-else) -> would set quota, together 25% of the machine on 30 cgroups under /system.slice; next: docker-769027df0dd400000000000000000000000000000000000000000 3%, docker-1409eb514d7700000000000000000000000000000000000000000 3%; for at most 30min
[  21.150] incident over after 19.8s: nobody is harmed, nothing is squeezed
295 events over 21.9 s: the same 89 actions
