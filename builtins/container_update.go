package builtins

import (
	"context"

	"nsh/runtime/container"
)

type updateParams struct {
	Containers        []ContainerRef `arg:"CONTAINER [CONTAINER...]"`
	BlkioWeight       uint16         `flag:"blkio-weight" doc:"Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)"`
	CPUPeriod         int64          `flag:"cpu-period" doc:"Limit CPU CFS (Completely Fair Scheduler) period"`
	CPUQuota          int64          `flag:"cpu-quota" doc:"Limit CPU CFS (Completely Fair Scheduler) quota"`
	CPURTPeriod       int64          `flag:"cpu-rt-period" doc:"Limit the CPU real-time period in microseconds"`
	CPURTRuntime      int64          `flag:"cpu-rt-runtime" doc:"Limit the CPU real-time runtime in microseconds"`
	CPUShares         int64          `flag:"cpu-shares,c" doc:"CPU shares (relative weight)"`
	CPUs              float64        `flag:"cpus" doc:"Number of CPUs"`
	CpusetCPUs        string         `flag:"cpuset-cpus" doc:"CPUs in which to allow execution (0-3, 0,1)"`
	CpusetMems        string         `flag:"cpuset-mems" doc:"MEMs in which to allow execution (0-3, 0,1)"`
	Memory            Bytes          `flag:"memory,m" doc:"Memory limit"`
	MemoryReservation Bytes          `flag:"memory-reservation" doc:"Memory soft limit"`
	MemorySwap        Bytes          `flag:"memory-swap" doc:"Swap limit equal to memory plus swap: -1 to enable unlimited swap"`
	PidsLimit         int64          `flag:"pids-limit" doc:"Tune container pids limit (set -1 for unlimited)"`
	Restart           NotBuilt       `flag:"restart" doc:"Restart policy to apply when a container exits"`
}

func (p *updateParams) update() (container.Update, error) {
	o := CreateOptions{
		BlkioWeight: p.BlkioWeight, CPUPeriod: p.CPUPeriod, CPUQuota: p.CPUQuota, CPURTPeriod: p.CPURTPeriod, CPURTRuntime: p.CPURTRuntime, CPUShares: p.CPUShares,
		CPUs: p.CPUs, CpusetCPUs: p.CpusetCPUs, CpusetMems: p.CpusetMems, Memory: p.Memory, MemoryReservation: p.MemoryReservation, MemorySwap: p.MemorySwap,
		PidsLimit: p.PidsLimit, MemorySwappiness: -1,
	}
	r, err := o.resources()
	return container.Update{Resources: r}, err
}

// Update changes the limits of containers.
var Update = Define(Verb{
	Paths:   []string{"update", "container update"},
	Short:   "Update configuration of one or more containers",
	Effect:  Writes,
	Example: `for c in containers(label = "tier=batch"): c.update(cpus = 0.5)`,
}, func(call *Call, p *updateParams) ([]done, error) {
	u, err := p.update()
	if err != nil {
		return nil, wrong(err)
	}
	return eachContainer(call, p.Containers, func(ctx context.Context, ref string) error {
		return call.Containers.Update(ctx, ref, u)
	})
}, showDone[updateParams])
