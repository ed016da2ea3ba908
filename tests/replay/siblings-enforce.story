[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of postgresql.service 92.32% > 65.62% for 350ms (everything-else): a runaway; to blame: docker-e23cf16e0cb500000000000000000000000000000000000000000 3%, docker-20210c48176900000000000000000000000000000000000000000 3%, docker-0c567c600f7000000000000000000000000000000000000000000 3%
[   1.350] cpu wait of postgresql.service 92.32% > 65.62% for 350ms (everything-else) -> quota, together 25% of the machine on 30 cgroups under /system.slice; next: docker-20210c48176900000000000000000000000000000000000000000 3%, docker-0c567c600f7000000000000000000000000000000000000000000 3%; for at most 30min
[   9.150] gone by itself on 30 cgroups under /system.slice after 7650ms (everything-else)
[  19.150] incident over after 17.8s: nobody is harmed, nothing is squeezed
306 events over 23.9 s: the same 89 actions
