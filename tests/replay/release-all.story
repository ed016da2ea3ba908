[   1.250] alarm: cpu pressure 100% > 10%
[   1.750] incident: cpu wait of postgresql.service 88.37% > 75% for 400ms (everything-else): a runaway; to blame: docker-0afeb4ee95c600000000000000000000000000000000000000000 5%, docker-769027df0dd400000000000000000000000000000000000000000 5%, docker-1409eb514d7700000000000000000000000000000000000000000 5%
[   1.750] cpu wait of postgresql.service 88.37% > 75% for 400ms (everything-else) -> quota, together 25% of the machine on 19 cgroups under /system.slice; next: docker-769027df0dd400000000000000000000000000000000000000000 5%, docker-1409eb514d7700000000000000000000000000000000000000000 5%
[   5.000] by command: everything released, and left alone for 10min
[   5.350] cpu wait of postgresql.service 89% > 75% for 400ms (everything-else) -> again quota, together 25% of the machine on docker-f4e658a6a52400000000000000000000000000000000000000000; next: docker-0afeb4ee95c600000000000000000000000000000000000000000 5%, docker-769027df0dd400000000000000000000000000000000000000000 5%
[   9.350] cpu wait of postgresql.service 88.43% > 75% for 2.6s (everything-else) -> nothing done: it helps but not enough, and Ladder= or the kind of work allows nothing more on docker-f4e658a6a52400000000000000000000000000000000000000000; next: docker-0afeb4ee95c600000000000000000000000000000000000000000 5%, docker-769027df0dd400000000000000000000000000000000000000000 5%
[  11.150] gone by itself on docker-f4e658a6a52400000000000000000000000000000000000000000 after 5650ms (everything-else)
[  21.150] incident over after 19.4s: nobody is harmed, nothing is squeezed
260 events over 21.9 s: the same 71 actions
