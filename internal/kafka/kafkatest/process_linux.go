package kafkatest

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel end a child with the thread that starts it.
func dieWithParent(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
