package containerd

import (
	"os"
	"testing"

	"nsh/runtime/enginetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }
