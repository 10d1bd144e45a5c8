package main

import (
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
)

// diskFree is how much of the disk of a directory is left to this process, for an alert before it is full.
func diskFree(dir string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "stampede_store_disk_free_bytes", Help: "What is left of the disk that the store is on."}, func() float64 {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(dir, &fs); err != nil {
			return 0 // a disk that can't be asked is one to look at
		}
		return float64(fs.Bavail) * float64(fs.Bsize)
	})
}
