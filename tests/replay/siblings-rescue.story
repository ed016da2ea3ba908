[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of ssh.service 94.74% > 93% (rescue): a runaway; to blame: docker-16b8e812dc4500000000000000000000000000000000000000000 3%, docker-7b739019c10200000000000000000000000000000000000000000 3%, docker-c05385edd62500000000000000000000000000000000000000000 3%; rescue acts once a login takes more than 5s for 3s
[   4.350] cpu wait of ssh.service 94.79% > 93% for 3s (rescue) -> quota, together 25% of the machine (a login would take 6.7s) on 36 cgroups under /system.slice; next: docker-7b739019c10200000000000000000000000000000000000000000 3%, docker-c05385edd62500000000000000000000000000000000000000000 3%; for at most 15min
[  10.150] gone by itself on 36 cgroups under /system.slice after 5650ms (rescue)
[  20.150] incident over after 18.8s: nobody is harmed, nothing is squeezed
331 events over 23.9 s: the same 101 actions
