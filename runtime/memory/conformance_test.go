package memory

import (
	"testing"

	"nsh/runtime/conformance"
	"nsh/runtime/image"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	conformance.Run(t, func(t *testing.T) conformance.Instance {
		e := New(Options{})
		if err := e.Publish(image.Recipe{Name: "busybox"}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Images.Pull(t.Context(), "busybox", image.PullOptions{}); err != nil {
			t.Fatal(err)
		}
		return conformance.Instance{Containers: e.Containers, Images: e.Images, Volumes: e.Volumes, Networks: e.Networks, System: e.System, Image: "busybox"}
	})
}
