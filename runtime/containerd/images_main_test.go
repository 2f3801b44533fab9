package containerd

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"nsh/runtime/enginetest"
)

// dockerConfig is where the tests have their config.json. Docker's package
// reads the variable once, so that all tests share it.
var dockerConfig string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	if os.Getenv(killedLoadEnv) != "" {
		// The process that is killed would leave its directory.
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "nsh-docker-config-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	dockerConfig = dir
	os.Setenv("DOCKER_CONFIG", dir)
	os.Setenv("PATH", filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	return enginetest.Main(m)
}
