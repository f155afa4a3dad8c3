<?php

// A page as Symfony's session component has it: default storage, default handler.

require 'Symfony/Component/HttpFoundation/autoload.php';

use Symfony\Component\HttpFoundation\RedirectResponse;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;
use Symfony\Component\HttpFoundation\Session\Session;
use Symfony\Component\HttpFoundation\Session\Storage\NativeSessionStorage;

$request = Request::createFromGlobals();
$session = new Session(new NativeSessionStorage());
$request->setSession($session);
if ($request->isMethod('POST')) {
    if ($request->request->has('user')) {
        $session->migrate(true);
        $session->set('user', $request->request->get('user'));
        $session->getFlashBag()->add('notice', 'Welcome');
    } else {
        $session->set('notes', [...$session->get('notes', []), $request->request->get('note')]);
    }
    $response = new RedirectResponse($request->getUri());
} else {
    $response = new Response(page($session->get('user'), $session->get('notes', []), $session->getFlashBag()->get('notice')));
}
$session->save();
$response->prepare($request)->send();

function page(?string $user, array $notes, array $notices): string
{
    return require __DIR__ . '/../notes.php';
}
