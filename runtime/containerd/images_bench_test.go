package containerd

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"nsh/runtime/image"
	"nsh/runtime/image/imagetest"
)

func BenchmarkList100(b *testing.B) {
	m, e, ns := imagesFor(b)
	var all []imagetest.Image
	for i := range 100 {
		all = append(all, imagetest.Small("amd64", fmt.Sprint(i), fmt.Sprintf("app%d:1", i)))
	}
	if _, err := m.Load(b.Context(), bytes.NewReader(imagetest.Tar(imagetest.OCI(all...)...)), image.LoadOptions{}); err != nil {
		b.Fatal(err)
	}
	b.Run("nsh", func(b *testing.B) {
		for b.Loop() {
			if got, err := m.List(b.Context()); err != nil || len(got) != 100 {
				b.Fatal(len(got), err)
			}
		}
	})
	b.Run("ctr", func(b *testing.B) {
		for b.Loop() {
			ctr(b, e.Libexec, e.Address, ns, "images", "ls")
		}
	})
}

func ctr(b *testing.B, libexec, address, ns string, args ...string) {
	b.Helper()
	cmd := exec.Command(filepath.Join(libexec, "ctr"), append([]string{"-a", address, "-n", ns}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("ctr %q: %v\n%s", args, err, out)
	}
}

// archive50MB is 50 MB in three layers, half of it compressible, as programs are.
func archive50MB(compress bool) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	img := imagetest.Image{Names: []string{"big:1"}, Compress: compress}
	img.Platform.OS, img.Platform.Architecture = "linux", "amd64"
	for l := range 3 {
		var entries []imagetest.Entry
		for f := range 100 {
			data := make([]byte, 50<<20/300)
			for i := range data {
				if i%2 == 0 {
					data[i] = byte(rng.Uint32())
				}
			}
			entries = append(entries, imagetest.Entry{Name: fmt.Sprintf("dir%d/file%d", l, f), Data: data})
		}
		img.Layers = append(img.Layers, imagetest.Tar(entries...))
	}
	return imagetest.Tar(imagetest.OCI(img)...)
}

func BenchmarkLoad50MB(b *testing.B) {
	for _, compress := range []bool{false, true} {
		file := filepath.Join(b.TempDir(), "a.tar")
		if err := os.WriteFile(file, archive50MB(compress), 0o600); err != nil {
			b.Fatal(err)
		}
		name := map[bool]string{false: "plain", true: "gzip"}[compress]
		b.Run(name+"/nsh", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				m, e, ns := imagesFor(b)
				_, _ = e, ns
				f, err := os.Open(file)
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if _, err := m.Load(b.Context(), f, image.LoadOptions{}); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				f.Close()
				e.Clear(ns)
				b.StartTimer()
			}
		})
		b.Run(name+"/ctr", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				_, e, ns := imagesFor(b)
				b.StartTimer()
				ctr(b, e.Libexec, e.Address, ns, "images", "import", file)
				b.StopTimer()
				e.Clear(ns)
				b.StartTimer()
			}
		})
	}
}

func BenchmarkAssembleAgain(b *testing.B) {
	m, _, _ := imagesFor(b)
	recipe := image.Recipe{Name: "bench", Created: time.Unix(1, 0), Files: []image.File{{Path: "/f", Content: make([]byte, 5<<20)}}}
	if _, err := m.Assemble(b.Context(), recipe); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := m.Assemble(b.Context(), recipe); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAssembleFirst(b *testing.B) {
	m, _, _ := imagesFor(b)
	data := make([]byte, 5<<20)
	n := 0
	for b.Loop() {
		n++
		copy(data, fmt.Sprint(n))
		if _, err := m.Assemble(b.Context(), image.Recipe{Name: "bench", Files: []image.File{{Path: "/f", Content: data}}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	m, _, _ := imagesFor(b)
	img := imagetest.Small("amd64", "x", "x:1")
	for i := range 8 {
		img.Layers = append(img.Layers, imagetest.Tar(imagetest.Entry{Name: fmt.Sprint(i), Data: []byte("x")}))
	}
	if _, err := m.Load(b.Context(), bytes.NewReader(imagetest.Tar(imagetest.OCI(img)...)), image.LoadOptions{}); err != nil {
		b.Fatal(err)
	}
	b.Run("Get", func(b *testing.B) {
		for b.Loop() {
			if _, err := m.Get(b.Context(), "x:1"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("record", func(b *testing.B) {
		for b.Loop() {
			if _, err := m.record(b.Context(), "x:1"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
