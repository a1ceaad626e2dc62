// Applies a folder of objects and waits for them as Flux's kustomize-controller does: with its own engine for server-side
// apply and kstatus, giving up as soon as one has failed. Exits with 0 once all are current; else says why on stderr.
//
// Usage: apply FOLDER NAMESPACE TIMEOUT   (KUBECONFIG names the cluster; NAMESPACE is for objects that name none)
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(folder, namespace, timeout string) error {
	limit, err := time.ParseDuration(timeout)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	objects, err := read(folder, namespace)
	if err != nil {
		return err
	}
	manager, err := newManager(config)
	if err != nil {
		return err
	}
	changes, err := manager.ApplyAllStaged(context.Background(), objects, ssa.DefaultApplyOptions())
	if err != nil {
		return err
	}
	for _, entry := range changes.Entries {
		fmt.Println(entry.String())
	}
	options := ssa.WaitOptions{Interval: 500 * time.Millisecond, Timeout: limit, FailFast: true}
	if err := manager.Wait(objects, options); err != nil {
		return fmt.Errorf("%w%s", err, messages(manager.Client(), objects))
	}
	return nil
}

func newManager(config *rest.Config) (*ssa.ResourceManager, error) {
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, httpClient)
	if err != nil {
		return nil, err
	}
	kube, err := client.New(config, client.Options{Mapper: mapper})
	if err != nil {
		return nil, err
	}
	owner := ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"}
	return ssa.NewResourceManager(kube, polling.NewStatusPoller(kube, mapper, polling.Options{}), owner), nil
}

func read(folder, namespace string) ([]*unstructured.Unstructured, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		objects, err := utils.ReadObjects(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, objects...)
	}
	for _, object := range all {
		if object.GetNamespace() == "" {
			object.SetNamespace(namespace)
		}
	}
	return all, normalize.UnstructuredList(all)
}

// messages is what kstatus makes of those that are not current, one on each line.
func messages(kube client.Client, objects []*unstructured.Unstructured) string {
	text := ""
	for _, object := range objects {
		found := object.DeepCopy()
		if err := kube.Get(context.Background(), client.ObjectKeyFromObject(object), found); err != nil {
			text += fmt.Sprintf("\n%s: %s", utils.FmtUnstructured(object), err)
			continue
		}
		if result, err := status.Compute(found); err == nil && result.Status != status.CurrentStatus {
			text += fmt.Sprintf("\n%s: %s: %s", utils.FmtUnstructured(object), result.Status, result.Message)
		}
	}
	return text
}
